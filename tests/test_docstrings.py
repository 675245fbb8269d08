"""Every example in a docstring runs, and every public name explains itself."""

import doctest
import importlib
import inspect
import pkgutil

import pytest

import vxm_tf

MODULES = ["vxm_tf", *(module.name for module in pkgutil.walk_packages(vxm_tf.__path__, "vxm_tf."))]
PACKAGES = [module.name for module in pkgutil.walk_packages(vxm_tf.__path__, "vxm_tf.") if module.ispkg]


def undocumented(module):
    """Names in `__all__` whose class or function has no docstring of its own; values need none."""
    for name in getattr(module, "__all__", ()):
        value = getattr(module, name)
        if inspect.isclass(value) or inspect.isroutine(value) or inspect.ismodule(value):
            text = value.__doc__ or ""
            # What `dataclasses` writes where there is none: the name and the fields.
            if not text.strip() or text.startswith(f"{name}("):
                yield name


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_of_a_module_run(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    results = doctest.testmod(importlib.import_module(name), optionflags=doctest.ELLIPSIS, verbose=False)
    assert results.failed == 0


@pytest.mark.parametrize("name", [name for name in MODULES if "._" not in name])
def test_a_module_says_what_it_is_for(name):
    assert (importlib.import_module(name).__doc__ or "").strip()


@pytest.mark.parametrize("name", ["vxm_tf", *PACKAGES])
def test_every_public_name_has_a_docstring(name):
    assert list(undocumented(importlib.import_module(name))) == []


def test_examples_are_found():
    finder = doctest.DocTestFinder(exclude_empty=True)
    examples = [test for name in MODULES for test in finder.find(importlib.import_module(name)) if test.examples]
    assert {"vxm_tf.ops.displacement.warp", "vxm_tf.layers.vec_int.VecInt"} <= {test.name for test in examples}


def test_the_check_finds_names_without_a_docstring():
    module = type(vxm_tf)("fake")
    exec(
        "import dataclasses\n"
        "class Bare: pass\n"
        "@dataclasses.dataclass\n"
        "class Fields:\n"
        "    size: int\n"
        "def spoken(): 'Says something.'\n"
        "VALUE = {}\n"
        "__all__ = ['Bare', 'Fields', 'spoken', 'VALUE']",
        module.__dict__,
    )
    assert list(undocumented(module)) == ["Bare", "Fields"]


def test_a_wrong_example_fails():
    module = type(vxm_tf)("fake")
    exec("def one():\n    '''\n    >>> 1 + 1\n    3\n    '''", module.__dict__)
    module.one.__module__ = "fake"
    runner = doctest.DocTestRunner(verbose=False)
    for test in doctest.DocTestFinder().find(module.one, "one", module=False, globs={}):
        runner.run(test, out=lambda text: None)
    assert runner.failures == 1
