"""The floors of the house: who may import whom, and what no module may hold."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
MODULES = sorted(str(path.relative_to(ROOT)) for path in (ROOT / "vxm_tf").rglob("*.py"))

THREE_LOWER = {"ops", "files", "layers", "losses", "metrics", "data", "spatial", "models"}
# What each room may import besides itself. Rooms that are not here may not exist.
MAY_IMPORT = {
    "ops": set(),
    "files": set(),
    "layers": {"ops"},
    "losses": {"ops"},
    "metrics": set(),
    "data": {"ops", "files"},
    "spatial": {"ops", "files"},
    "models": {"ops", "layers"},
    "registration": {*THREE_LOWER, "_version"},
    "report": {*THREE_LOWER, "_version"},
    "training": {*THREE_LOWER, "registration", "report", "_version"},
    "evaluation": {*THREE_LOWER, "registration", "report", "_version"},
    "serving": {"ops", "files", "layers", "data", "spatial", "models", "_version"},
    "cli": {*THREE_LOWER, "registration", "report", "training", "evaluation", "serving", "_version"},
    # Aside.
    "convert": {"cli"},
    "__init__": {*THREE_LOWER, "backend", "_version"},
    "backend": {"ops"},
    "_version": set(),
}
TENSORFLOW_ROOMS = {"data", "serving", "training", "backend"}
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


def test_all_of_the_lower_floors_are_checked():
    assert {"ops", "layers", "losses", "metrics", "data", "models", "__init__", "backend"} <= set(map(room_of, MODULES))


@pytest.mark.parametrize(
    ("path", "source", "violation"),
    [
        ("vxm_tf/ops/grid.py", "from vxm_tf.layers import VecInt", "ops imports layers"),
        ("vxm_tf/ops/grid.py", "from vxm_tf import layers", "ops imports layers"),
        ("vxm_tf/ops/grid.py", "import vxm_tf.layers.vec_int as v", "ops imports layers"),
        ("vxm_tf/ops/grid.py", "from ..layers import VecInt", "ops imports layers"),
        ("vxm_tf/ops/grid.py", "from .. import layers", "ops imports layers"),
        ("vxm_tf/ops/__init__.py", "from ..layers import VecInt", "ops imports layers"),
        ("vxm_tf/ops/grid.py", "import vxm_tf", "ops imports __init__"),
        ("vxm_tf/ops/grid.py", "from vxm_tf import __version__", "ops imports __init__"),
        ("vxm_tf/ops/fusion.py", "from vxm_tf.backend import enable_fusion", "ops imports backend"),
        ("vxm_tf/layers/vec_int.py", "from vxm_tf.losses import LNCC", "layers imports losses"),
        ("vxm_tf/losses/overlap.py", "from vxm_tf.metrics import dice", "losses imports metrics"),
        ("vxm_tf/models/unet.py", "from vxm_tf import losses", "models imports losses"),
        ("vxm_tf/models/unet.py", "from vxm_tf.training import train", "models imports training"),
        ("vxm_tf/registration/pair.py", "from vxm_tf.evaluation import evaluate", "registration imports evaluation"),
        ("vxm_tf/registration/pair.py", "from vxm_tf.report import panel", "registration imports report"),
        ("vxm_tf/report/panel.py", "from vxm_tf.training import train", "report imports training"),
        ("vxm_tf/training/train.py", "from vxm_tf.evaluation import evaluate", "training imports evaluation"),
        ("vxm_tf/serving/export.py", "from vxm_tf.metrics import dice", "serving imports metrics"),
        ("vxm_tf/serving/export.py", "from vxm_tf.losses import LNCC", "serving imports losses"),
        ("vxm_tf/evaluation/evaluate.py", "from vxm_tf.cli import command", "evaluation imports cli"),
        ("vxm_tf/ops/grid.py", "import tensorflow as tf", "ops imports tensorflow"),
        ("vxm_tf/models/unet.py", "def lazy():\n    from tensorflow.nn import relu", "models imports tensorflow"),
        ("vxm_tf/losses/overlap.py", "importlib.import_module('tensorflow')", "losses imports tensorflow"),
        ("vxm_tf/cli/train.py", "__import__('tensorflow')", "cli imports tensorflow"),
        ("vxm_tf/__init__.py", "import tensorflow", "__init__ imports tensorflow"),
        ("vxm_tf/metrics/overlap.py", "from keras import ops", "metrics imports keras"),
        ("vxm_tf/metrics/overlap.py", "from vxm_tf import ops", "metrics imports ops"),
        ("vxm_tf/cli/train.py", "import train", "cli imports the script train"),
        ("vxm_tf/training/train.py", "from evaluate import main", "training imports the script evaluate"),
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
        ("vxm_tf/training/setup.py", "def lazy():\n    import tensorflow as tf"),
        ("vxm_tf/training/train.py", "from vxm_tf.registration import pair\nfrom vxm_tf.training.train import x"),
        ("vxm_tf/cli/train.py", "from vxm_tf.training import train\nfrom vxm_tf.cli.register import main"),
        ("vxm_tf/ops/grid.py", "'import tensorflow'  # import tensorflow"),
    ],
)
def test_the_check_lets_allowed_imports_pass(path, source):
    assert import_violations(path, source) == []


@pytest.mark.parametrize(
    ("path", "source", "violation"),
    [
        ("vxm_tf/ops/grid.py", "def f(x):\n    assert x > 0", "an assert statement"),
        ("vxm_tf/training/train.py", "print('epoch')", "a print call"),
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
        ("vxm_tf/ops/grid.py", "def blueprint():\n    '''assert print(1)'''\n    return pprint(2)"),
    ],
)
def test_the_check_lets_the_rest_pass(path, source):
    assert content_violations(path, source) == []
