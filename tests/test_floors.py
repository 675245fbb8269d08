"""The floors of the house: who may import whom, and what no module may hold."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
MODULES = sorted(str(path.relative_to(ROOT)) for path in (ROOT / "vxm_tf").rglob("*.py"))

# The floors, lowest first. A room may import from lower floors; what stands beside it on its floor, it may not.
FLOORS = (
    {"_version"},
    {"ops", "files", "metrics"},
    {"machine"},
    {"configuration", "layers", "losses", "spatial"},
    {"data"},
    {"models"},
    {"trust", "report", "serving"},
    {"registration"},
    {"training", "evaluation"},
    {"workflows"},
    {"cli"},
)
# What a room must not import, although it lies on a lower floor.
FORBIDDEN = {
    "configuration": {"ops", "metrics"},
    "layers": {"files", "metrics"},
    "losses": {"files", "metrics"},
    "data": {"metrics", "configuration", "layers", "losses"},
    "spatial": {"metrics"},
    "models": {"metrics", "configuration", "losses", "data", "spatial"},
    "report": {"layers", "losses"},
    "serving": {"metrics", "losses"},
}
ASIDE = {
    "__init__": {"ops", "layers", "losses", "models", "backend", "startup", "_version"},
    "backend": {"ops", "files", "machine"},
    "startup": set(),
}


def may_import():
    """Room to the rooms that it may import besides itself. A room that is not here may not exist."""
    allowed, below = dict(ASIDE), set()
    for floor in FLOORS:
        allowed |= {room: below - FORBIDDEN.get(room, set()) for room in floor}
        below = below | floor
    return allowed


MAY_IMPORT = may_import()
TENSORFLOW_ROOMS = {"data", "serving", "training", "backend"}
# One module of these names may stand in each room.
COMMON_NAMES = {"__init__", "config", "errors"}
MOST_IN_REGISTRATION = 10
SCRIPTS = {"train", "evaluate", "register", "export"}
NAMELESS = {"util", "utils", "common", "helper", "helpers", "misc"}


def room_of(path):
    """The package of `vxm_tf` that a file belongs to, or the name of a file that stands aside."""
    return Path(path).with_suffix("").parts[1]


def imported_names(path, source):
    """Full dotted names of all that a module imports, wherever it does so and whether by statement or by call."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            package = Path(path).parts[: -node.level] if node.level else ()
            yield from (".".join([*package, *filter(None, [node.module]), alias.name]) for alias in node.names)
        elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", None)
            if called in ("import_module", "__import__"):
                yield str(node.args[0].value)


def import_violations(path, source):
    """One line for each import that leads up, sideways, or to what the room has no business with."""
    room = room_of(path)
    if room not in MAY_IMPORT:
        return [f"{room} is no room of the house"]
    found = []
    for name in imported_names(path, source):
        top, _, rest = name.partition(".")
        target = rest.split(".")[0]
        if top == "vxm_tf":
            target = target if target in MAY_IMPORT else "__init__"
            if target != room and target not in MAY_IMPORT[room]:
                found.append(f"{room} imports {target}")
        elif top == "tensorflow" and room not in TENSORFLOW_ROOMS:
            found.append(f"{room} imports tensorflow")
        elif top == "keras" and room == "metrics":
            found.append("metrics imports keras")
        elif top in SCRIPTS:
            found.append(f"{room} imports the script {top}")
    return found


def content_violations(path, source):
    """One line for each statement or name that no module may have."""
    found = [f"a module named {part}" for part in Path(path).with_suffix("").parts if part in NAMELESS]
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Assert):
            found.append("an assert statement")
        elif isinstance(node, ast.Call) and getattr(node.func, "id", None) == "print" and room_of(path) != "cli":
            found.append("a print call")
    return found


@pytest.mark.parametrize("path", MODULES)
def test_a_module_imports_from_lower_floors_only(path):
    assert import_violations(path, (ROOT / path).read_text()) == []


@pytest.mark.parametrize("path", MODULES)
def test_a_module_neither_prints_nor_asserts_and_has_a_name_that_says_something(path):
    assert content_violations(path, (ROOT / path).read_text()) == []


def test_every_room_of_the_house_is_checked():
    assert set(map(room_of, MODULES)) == set(MAY_IMPORT)


def import_graph(sources):
    """Module -> modules that it imports, as dotted names, from `{path: source}`; function-level imports count."""
    modules = {dotted(path) for path in sources}
    return {
        dotted(path): {
            target
            for name in imported_names(path, source)
            if (target := _module_of(name, modules)) not in (None, dotted(path))
        }
        for path, source in sources.items()
    }


def dotted(path):
    """vxm_tf/ops/voxel_grid.py -> vxm_tf.ops.grid; a package's `__init__` is the package."""
    parts = Path(path).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _module_of(name, modules):
    """The module that a full dotted name of a class, function or module belongs to."""
    while name and name not in modules:
        name = name.rpartition(".")[0]
    return name or None


def circles(graph):
    """Groups of modules that import each other, directly or by others (Tarjan's strongly connected components)."""
    index, low, stack, found = {}, {}, [], []

    def visit(node):
        index[node] = low[node] = len(index)
        stack.append(node)
        for other in sorted(graph[node]):
            if other not in index:
                visit(other)
            if other in stack:
                low[node] = min(low[node], low[other])
        if low[node] == index[node]:
            group = stack[stack.index(node) :]
            del stack[stack.index(node) :]
            if len(group) > 1:
                found.append(sorted(group))

    for node in sorted(graph):
        if node not in index:
            visit(node)
    return found


def test_no_modules_import_each_other():
    assert circles(import_graph({path: (ROOT / path).read_text() for path in MODULES})) == []


def test_a_circle_of_imports_is_found():
    sources = {
        "vxm_tf/ops/one.py": "from vxm_tf.ops.two import x",
        "vxm_tf/ops/two.py": "def f():\n    from vxm_tf.ops import three",
        "vxm_tf/ops/three.py": "import vxm_tf.ops.one",
        "vxm_tf/ops/four.py": "from vxm_tf.ops.one import x",
    }
    assert circles(import_graph(sources)) == [["vxm_tf.ops.one", "vxm_tf.ops.three", "vxm_tf.ops.two"]]


def shared_names(paths):
    """Base names that several modules have, except those that every room may use."""
    names = [Path(path).stem for path in paths]
    return sorted({name for name in names if names.count(name) > 1} - COMMON_NAMES)


def test_no_two_modules_have_one_name():
    assert shared_names(MODULES) == []


def test_modules_of_one_name_are_found():
    paths = ["vxm_tf/ops/grid.py", "vxm_tf/spatial/grid.py", "vxm_tf/ops/__init__.py", "vxm_tf/spatial/__init__.py"]
    assert shared_names(paths) == ["grid"]


def test_registration_is_a_room_that_a_newcomer_can_overlook():
    entries = [path for path in (ROOT / "vxm_tf" / "registration").iterdir() if not path.name.startswith("__pycache__")]
    assert len(entries) <= MOST_IN_REGISTRATION


@pytest.mark.parametrize(
    ("path", "source", "violation"),
    [
        ("vxm_tf/ops/voxel_grid.py", "from vxm_tf.layers import VecInt", "ops imports layers"),
        ("vxm_tf/ops/voxel_grid.py", "from vxm_tf import layers", "ops imports layers"),
        ("vxm_tf/ops/voxel_grid.py", "import vxm_tf.layers.vec_int as v", "ops imports layers"),
        ("vxm_tf/ops/voxel_grid.py", "from ..layers import VecInt", "ops imports layers"),
        ("vxm_tf/ops/voxel_grid.py", "from .. import layers", "ops imports layers"),
        ("vxm_tf/ops/__init__.py", "from ..layers import VecInt", "ops imports layers"),
        ("vxm_tf/ops/voxel_grid.py", "import vxm_tf", "ops imports __init__"),
        ("vxm_tf/ops/voxel_grid.py", "from vxm_tf import __version__", "ops imports __init__"),
        ("vxm_tf/ops/fusion.py", "from vxm_tf.backend import enable_fusion", "ops imports backend"),
        ("vxm_tf/layers/vec_int.py", "from vxm_tf.losses import LNCC", "layers imports losses"),
        ("vxm_tf/losses/soft_dice.py", "from vxm_tf.metrics import dice", "losses imports metrics"),
        ("vxm_tf/models/unet.py", "from vxm_tf import losses", "models imports losses"),
        ("vxm_tf/models/unet.py", "from vxm_tf.training import train", "models imports training"),
        ("vxm_tf/registration/align.py", "from vxm_tf.evaluation import evaluate", "registration imports evaluation"),
        ("vxm_tf/registration/result.py", "from vxm_tf.workflows import outputs", "registration imports workflows"),
        ("vxm_tf/trust/gate/verdict.py", "from vxm_tf.registration import refine", "trust imports registration"),
        ("vxm_tf/models/saved.py", "from vxm_tf.spatial import Grid", "models imports spatial"),
        ("vxm_tf/training/scans.py", "from vxm_tf.workflows import register", "training imports workflows"),
        ("vxm_tf/report/panel.py", "from vxm_tf.training import train", "report imports training"),
        ("vxm_tf/training/run_training.py", "from vxm_tf.evaluation import evaluate", "training imports evaluation"),
        ("vxm_tf/serving/saved_model.py", "from vxm_tf.metrics import dice", "serving imports metrics"),
        ("vxm_tf/serving/saved_model.py", "from vxm_tf.losses import LNCC", "serving imports losses"),
        ("vxm_tf/evaluation/run_evaluation.py", "from vxm_tf.cli import command", "evaluation imports cli"),
        ("vxm_tf/ops/voxel_grid.py", "import tensorflow as tf", "ops imports tensorflow"),
        ("vxm_tf/models/unet.py", "def lazy():\n    from tensorflow.nn import relu", "models imports tensorflow"),
        ("vxm_tf/losses/soft_dice.py", "importlib.import_module('tensorflow')", "losses imports tensorflow"),
        ("vxm_tf/cli/train.py", "__import__('tensorflow')", "cli imports tensorflow"),
        ("vxm_tf/__init__.py", "import tensorflow", "__init__ imports tensorflow"),
        ("vxm_tf/metrics/dice.py", "from keras import ops", "metrics imports keras"),
        ("vxm_tf/metrics/dice.py", "from vxm_tf import ops", "metrics imports ops"),
        ("vxm_tf/cli/train.py", "import train", "cli imports the script train"),
        ("vxm_tf/training/run_training.py", "from evaluate import main", "training imports the script evaluate"),
        ("vxm_tf/magic/wand.py", "", "magic is no room of the house"),
    ],
)
def test_the_check_finds_an_import_that_is_not_allowed(path, source, violation):
    assert import_violations(path, source) == [violation]


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("vxm_tf/layers/vec_int.py", "import keras\nfrom vxm_tf import ops\nfrom vxm_tf.layers import crop_like"),
        ("vxm_tf/layers/vec_int.py", "from . import crop_like\nfrom ..ops import warp"),
        ("vxm_tf/data/pipeline.py", "import tensorflow as tf"),
        ("vxm_tf/training/assembly.py", "def lazy():\n    import tensorflow as tf"),
        ("vxm_tf/training/source.py", "from vxm_tf.registration import align\nfrom vxm_tf.training.trainer import x"),
        ("vxm_tf/registration/result.py", "from vxm_tf.trust import judge\nfrom vxm_tf.configuration import option"),
        ("vxm_tf/cli/train.py", "from vxm_tf.training import train\nfrom vxm_tf.cli.register import main"),
        ("vxm_tf/ops/voxel_grid.py", "'import tensorflow'  # import tensorflow"),
    ],
)
def test_the_check_lets_allowed_imports_pass(path, source):
    assert import_violations(path, source) == []


@pytest.mark.parametrize(
    ("path", "source", "violation"),
    [
        ("vxm_tf/ops/voxel_grid.py", "def f(x):\n    assert x > 0", "an assert statement"),
        ("vxm_tf/training/run_training.py", "print('epoch')", "a print call"),
        ("vxm_tf/ops/utils.py", "", "a module named utils"),
        ("vxm_tf/common/grid.py", "", "a module named common"),
        ("vxm_tf/data/helpers.py", "", "a module named helpers"),
    ],
)
def test_the_check_finds_what_no_module_may_hold(path, source, violation):
    assert content_violations(path, source) == [violation]


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("vxm_tf/cli/train.py", "print('Written.')"),
        ("vxm_tf/ops/voxel_grid.py", "def blueprint():\n    '''assert print(1)'''\n    return pprint(2)"),
    ],
)
def test_the_check_lets_the_rest_pass(path, source):
    assert content_violations(path, source) == []
