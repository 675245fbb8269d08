"""The documentation is complete: pages, links, names and settings are those of the code."""

import ast
import dataclasses
import importlib
import importlib.util
import os
import pkgutil
import re
import subprocess
import sys
import zlib
from pathlib import Path

import pytest
import yaml

import vxm_tf

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
PAGES = sorted(
    [*ROOT.glob("*.md"), *DOCS.rglob("*.md"), *(ROOT / "benchmarks").rglob("*.md"), *(ROOT / "studies").rglob("*.md")]
)
PACKAGES = ["vxm_tf", *(found.name for found in pkgutil.walk_packages(vxm_tf.__path__, "vxm_tf.") if found.ispkg)]


def load(path):
    """A module from a file that is in no package."""
    specification = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


generator = load(DOCS / "generate_reference.py")


def exported():
    """Dotted names of all functions, classes and values that an `__all__` lists; modules are no names of their own."""
    for package in PACKAGES:
        module = importlib.import_module(package)
        for name in getattr(module, "__all__", ()):
            if f"{package}.{name}" not in PACKAGES:
                yield package, name


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The folder of the site, built strictly."""
    pytest.importorskip("mkdocs")
    folder = tmp_path_factory.mktemp("site")
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "NO_MKDOCS_2_WARNING": "1"}
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)]
    built = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert built.returncode == 0, built.stdout + built.stderr
    return folder


def documented(site):
    """Names of all objects that the site documents, from the inventory that it publishes for other sites."""
    content = (site / "objects.inv").read_bytes().split(b"\n", 4)[4]
    return {line.split(" ")[0] for line in zlib.decompress(content).decode().splitlines()}


def test_every_public_name_is_documented_on_the_site(site):
    names = documented(site)
    missing = []
    for package, name in exported():
        value = getattr(importlib.import_module(package), name)
        home = f"{value.__module__}.{value.__qualname__}" if hasattr(value, "__qualname__") else ""
        if f"{package}.{name}" not in names and home not in names:
            missing.append(f"{package}.{name}")
    assert missing == []
    assert {"vxm_tf.ops.warp", "vxm_tf.trust.judge", "vxm_tf.models.PRESETS"} <= names


def test_every_public_name_has_a_place_on_the_page_of_its_package(site):
    for package, name in exported():
        page = site / generator.reference_page_path(package).removesuffix(".md") / "index.html"
        assert re.search(rf"\b{re.escape(name)}\b", page.read_text(encoding="utf-8")), f"{package}.{name}"


def test_every_module_with_public_names_has_a_section():
    pages = "".join(generator.reference_pages().values())
    for found in pkgutil.walk_packages(vxm_tf.__path__, "vxm_tf."):
        package, _, base = found.name.rpartition(".")
        source = Path(importlib.util.find_spec(found.name).origin)
        if found.ispkg or base.startswith("_"):
            continue
        own = set(generator.defined_names(source)) - set(generator.exported_names(package))
        assert not own or f"\n## {found.name}\n" in pages, found.name


def test_the_site_loads_nothing_from_the_net(site):
    loading = re.compile(r"""<(?:script|img|iframe|link)[^>]*?(?:src|href)=["']?(?:https?:)?//[^>]*>""")
    for page in site.rglob("*.html"):
        assert [tag for tag in loading.findall(page.read_text(encoding="utf-8")) if 'rel="canonical"' not in tag] == []


def test_the_navigation_names_pages_that_exist():
    def paths(entry):
        values = entry.values() if isinstance(entry, dict) else entry if isinstance(entry, list) else None
        return [entry] if values is None else [path for value in values for path in paths(value)]

    navigation = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))["nav"]
    generated = {*generator.notebook_pages(), *generator.copied_pages()}
    missing = [path for path in paths(navigation) if not (DOCS / path).exists() and path not in generated]
    assert missing == []


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_of_a_page_lead_to_files(page):
    links = re.findall(r"\]\(([^)\s#]+)(?:#[^)\s]*)?\)", page.read_text(encoding="utf-8"))
    assert [link for link in links if ":" not in link and not (page.parent / link).exists()] == []


def is_name(dotted):
    """Whether a dotted name can be imported or read off what can."""
    module, parts = vxm_tf, dotted.split(".")[1:]
    for k, part in enumerate(parts):
        try:
            module = getattr(module, part)
        except AttributeError:
            try:
                module = importlib.import_module(".".join(["vxm_tf", *parts[: k + 1]]))
            except ModuleNotFoundError:
                return False
    return True


def names_in(text):
    """Dotted names of vxm_tf in prose and code, and those that its examples import."""
    yield from (name.rstrip(".") for name in re.findall(r"(?<![/\w.])vxm_tf(?:\.\w+)+", text))
    for module, names in re.findall(r"from (vxm_tf[\w.]*) import ([\w, ]+)", text):
        yield from (f"{module}.{name.strip()}" for name in names.split(",") if name.strip())


@pytest.mark.parametrize(
    "page", [p for p in PAGES if p.name != "CHANGELOG.md"], ids=lambda path: str(path.relative_to(ROOT))
)
def test_names_on_a_page_exist(page):
    text = page.read_text(encoding="utf-8")
    if page.name == "design.md":
        text = text.split("## Second edition")[0]
    assert [name for name in names_in(text) if not is_name(name)] == []


def test_the_check_of_names_finds_one_that_does_not_exist():
    text = "`vxm_tf.ops.warp`, `vxm_tf.ops.wrap(x)` and\nfrom vxm_tf.data import warp_array, read_image\nvxm_tf/ops.py"
    assert [name for name in names_in(text) if not is_name(name)] == ["vxm_tf.ops.wrap", "vxm_tf.data.read_image"]


@pytest.mark.parametrize("command", generator.COMMANDS)
def test_the_settings_page_has_every_flag_with_its_description(command):
    section = generator.settings_page().split(f"\n## vxm-{command}\n")[1].split("\n## ")[0]
    flags = generator.flags_of(command)
    rows = {line.split("`")[1]: line for line in section.splitlines() if line.startswith("| `")}
    assert set(rows) == {f"--{name}" for name in flags} != set()
    for name, flag in flags.items():
        description = flag.help.rpartition(">: ")[2]
        assert description.split()[0] in rows[f"--{name}"] and len(description) > 15


def test_the_settings_page_has_every_command():
    scripts = (ROOT / "setup.cfg").read_text(encoding="utf-8")
    assert {f"vxm-{name}" for name in generator.COMMANDS} == set(re.findall(r"^ +(vxm-\w+) = ", scripts, re.MULTILINE))


def test_settings_show_default_and_choices():
    from vxm_tf.registration import RegistrationSettings

    page = generator.settings_page()
    refine = next(field for field in dataclasses.fields(RegistrationSettings) if field.name == "refine")
    assert f"| `--refine` | `-1` | {refine.metadata['description']} |" in page
    assert "One of none, header, register. |" in page


def test_the_described_fields_of_a_class_are_in_the_reference(site):
    page = (site / "reference" / "vxm_tf-registration" / "index.html").read_text(encoding="utf-8")
    assert "Time limit of the optimisation, in seconds; 0 for no limit." in page


def parameters_and_documented(source):
    """(line, parameters, names in `Args:`) of every function and class of a module that documents arguments."""
    for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        section = re.search(r"\n *Args:\n((?:\n| {4,}.*\n?)*)", (ast.get_docstring(node, clean=True) or "") + "\n")
        if section is None:
            continue
        names = re.findall(r"^    (\*{0,2}\w+(?:, \*{0,2}\w+)*): ", section.group(1), re.MULTILINE)
        given = node.args
        parameters = [*given.posonlyargs, *given.args, *given.kwonlyargs, *filter(None, [given.vararg, given.kwarg])]
        yield (
            node.lineno,
            {argument.arg for argument in parameters},
            {n.strip("*") for row in names for n in row.split(", ")},
        )


@pytest.mark.parametrize(
    "source", sorted((ROOT / "vxm_tf").rglob("*.py")), ids=lambda path: str(path.relative_to(ROOT))
)
def test_documented_arguments_are_those_of_the_function(source):
    wrong = [(line, names - parameters) for line, parameters, names in parameters_and_documented(source)]
    assert [(line, names) for line, names in wrong if names] == []


def test_the_readme_is_short_and_shows_registering_before_training():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 130
    order = [
        "![",
        "\n## Install",
        "\n## Register two scans",
        "vxm_tf.register(",
        "\n## Train",
        "\n## Serve",
        "\n## Results",
    ]
    assert [text.index(part) for part in order] == sorted(text.index(part) for part in order)


def moved_modules():
    """The modules in the last column of the table in design.md, with each list in braces written out."""
    table = (DOCS / "design.md").read_text(encoding="utf-8").split("## Second edition")[1]
    for column in re.findall(r"^\|[^|]*\|([^|]*)\|$", table, re.MULTILINE):
        for code in re.findall(r"`([\w/]+/\w*(?:{[\w,]+})?)`", column):
            stem, _, names = code.rstrip("}").partition("{")
            yield from (stem + name for name in names.split(","))


def test_the_table_of_moves_names_modules_that_exist():
    modules = list(moved_modules())
    assert len(modules) > 50
    places = [(ROOT / "vxm_tf" / name, ROOT / "vxm_tf" / f"{name}.py", ROOT / name) for name in modules]
    assert [name for name, paths in zip(modules, places) if not any(path.exists() for path in paths)] == []
