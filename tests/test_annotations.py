"""How much of the public interface says what it takes and gives."""

import ast
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LEAST = 0.95


def public_slots(source):
    """(name, whether it is annotated) of every argument and return of every public function and method."""
    for function, owner in _public_functions(ast.parse(source)):
        arguments = [*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs]
        if owner and not any(getattr(d, "id", None) == "staticmethod" for d in function.decorator_list):
            arguments = arguments[1:]
        arguments += [given for given in (function.args.vararg, function.args.kwarg) if given]
        for argument in arguments:
            yield f"{function.name}({argument.arg})", argument.annotation is not None
        if function.name != "__init__":
            yield f"{function.name} ->", function.returns is not None


def _public_functions(tree, owner=None):
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            yield from _public_functions(node, node.name)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            if not node.name.startswith("_") or (owner and node.name in ("__init__", "__call__")):
                yield node, owner


def test_public_functions_are_annotated(capsys):
    bare, count = [], 0
    for path in sorted((ROOT / "vxm_tf").rglob("*.py")):
        for name, annotated in public_slots(path.read_text(encoding="utf-8")):
            count += 1
            if not annotated:
                bare.append(f"{path.relative_to(ROOT)}: {name}")
    share = 1 - len(bare) / count
    with capsys.disabled():
        print(f"\n{100 * share:.1f} % of {count} public arguments and returns are annotated.")
    assert share >= LEAST, "\n".join(bare)


def test_bare_arguments_and_returns_are_found():
    source = "class A:\n    def f(self, x, *, y: int) -> int: ...\n    def _g(self, z): ...\ndef h(a=1): ...\n"
    assert [name for name, annotated in public_slots(source) if not annotated] == ["f(x)", "h(a)", "h ->"]
