"""Pages of the site that are made from the code: the reference, the settings, the notebooks and the benchmarks.

A hook of mkdocs (`hooks` in mkdocs.yml). The pages exist while the site is built, not in the repository.
"""

import ast
import html
import importlib
import inspect
import json
import posixpath
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "vxm_tf"
COMMANDS = (
    "register", "train", "evaluate", "apply", "compose", "invert", "certify", "calibrate", "convert", "export",
    "serve", "client", "demo",
)  # fmt: skip
# Pages that lie outside of docs/: page of the site -> (title in the navigation, file).
COPIED = {
    "results/tables.md": ("Accuracy and speed", "benchmarks/results/README.md"),
    "results/benchmarks.md": ("How they were measured", "benchmarks/README.md"),
    "results/studies.md": ("Studies", "studies/README.md"),
}
PICTURE_FOLDERS = ("benchmarks/results", "studies/results")
LINK = re.compile(r"(!?)\[([^\]]*)\]\(([^)\s#]+)(#[^)\s]*)?\)")
SETTINGS_HEADING = """# Settings

Every command takes `--name value` for each of these flags, `--help` for the same list, and `--debug` for the
traceback of an error. A flag that is true or false is written `--name` or `--noname`. The fields of the configurations
in Python have the same names."""


# What mkdocs calls.


def on_config(config):
    """Add the generated pages to the sections "Reference" and "Results" of the navigation."""
    generated = {
        "Reference": reference_navigation(),
        "Results": [{title: page} for page, (title, _) in copied().items()],
    }
    for section in config.nav:
        for title, pages in generated.items():
            if title in section:
                section[title] = [*pages, *section[title]]
    return config


def on_files(files, config):
    """Add the generated pages and the benchmarks' pictures to the files of the site."""
    from mkdocs.structure.files import File

    pages = {**reference_pages(), "reference/settings.md": settings_page(), **notebook_pages(), **copied_pages()}
    for path, content in pages.items():
        files.append(File.generated(config, path, content=content))
    for path, source in pictures().items():
        files.append(File.generated(config, path, abs_src_path=str(source)))
    return files


def on_page_markdown(markdown, page, config, files):
    """Point links that leave docs/ to what the site has instead."""
    _, source = copied().get(page.file.src_uri, ("", f"docs/{page.file.src_uri}"))
    return with_site_links(markdown, source, page.file.src_uri)


# Reference.


def packages():
    """Dotted name -> folder of every package of vxm_tf, the root first."""
    folders = sorted(path.parent for path in PACKAGE.rglob("__init__.py"))
    return {".".join(folder.relative_to(ROOT).parts): folder for folder in folders}


def reference_pages():
    """Page -> Markdown, one for each package: its public names first, then the other public names of its modules."""
    return {reference_page_path(name): _reference_page(name, folder) for name, folder in packages().items()}


def reference_navigation():
    """Entries of the navigation: the settings, then one page for each package."""
    return [{"Settings": "reference/settings.md"}, *({name: reference_page_path(name)} for name in packages())]


def reference_page_path(package):
    return f"reference/{package.replace('.', '-')}.md"


def _reference_page(package, folder):
    source = folder / "__init__.py"
    modules = {path.stem for path in folder.glob("*.py")}
    exported, bound = exported_names(package), bound_names(source) - modules
    lines = [f"# {package}", "", *_directive(package, [name for name in exported if name in bound])]
    for name in sorted(set(exported) - bound):
        # Static analysis sees no name that is imported when it is first asked for, and takes one for its module that
        # is called as a module is.
        value = getattr(importlib.import_module(package), name)
        lines += ["", *_directive(f"{value.__module__}.{value.__qualname__}"), f"      heading: {name}"]
    for module in sorted(folder.glob("[!_]*.py")):
        names = [name for name in defined_names(module) if name not in exported]
        if names:
            dotted = f"{package}.{module.stem}"
            lines += ["", f"## {dotted}", "", *_directive(dotted, names)]
    return "\n".join(lines) + "\n"


def _directive(identifier, members=None):
    """Lines that ask mkdocstrings for a module with these of its members or, without members, for one object."""
    shown = ["show_root_heading: true", "show_root_full_path: false", "show_root_toc_entry: true"]
    options = shown if members is None else [f"members: {json.dumps(members) if members else 'false'}"]
    return [f"::: {identifier}", "    options:", *(f"      {option}" for option in options)]


def exported_names(package):
    """Names in the `__all__` of a package, sorted, without packages, which have pages of their own."""
    names = getattr(importlib.import_module(package), "__all__", ())
    return sorted(name for name in names if f"{package}.{name}" not in packages())


def bound_names(source):
    """Names that a module binds by statements at its top level, also within `if`."""
    names = set()
    for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names |= {alias.asname or alias.name for alias in node.names}
        elif isinstance(node, ast.Assign):
            names |= {target.id for target in node.targets if isinstance(target, ast.Name)}
        elif isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
    return names


def defined_names(source):
    """Public functions and classes that a module defines, in their order."""
    body = ast.parse(source.read_text(encoding="utf-8")).body
    kinds = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
    return [node.name for node in body if isinstance(node, kinds) and not node.name.startswith("_")]


# Settings.


def settings_page():
    """A table of flags for each command, from the descriptions in the dataclasses' fields."""
    lines = [SETTINGS_HEADING]
    for name in COMMANDS:
        command, values = importlib.import_module(f"vxm_tf.cli.{name}"), flags_of(name)
        lines += [
            "",
            f"## vxm-{name}",
            "",
            html.escape(f"{command.DESCRIPTION.rstrip('.')}. {inspect.getdoc(command.define_flags)}", quote=False),
            "",
            '<div class="settings" markdown="1">',
            "",
            "| flag | default | description |",
            "| --- | --- | --- |",
            *(_row(values[flag]) for flag in values),
            "",
            "</div>",
        ]
    return "\n".join(lines) + "\n"


def flags_of(command):
    """The flags that a command defines, by their names."""
    from absl import flags

    values = flags.FlagValues()
    importlib.import_module(f"vxm_tf.cli.{command}").define_flags(values)
    return {name: values[name] for name in values}


def _row(flag):
    default = ",".join(map(str, flag.default)) if isinstance(flag.default, list) else flag.default
    shown = "" if default in ("", None) else f"`{str(default).lower() if isinstance(default, bool) else default}`"
    choices = [value for value in getattr(flag.parser, "enum_values", None) or () if value]
    # absl writes the choices before the description of a flag that has some.
    text = re.sub(r"^<[^>]*>: ", "", flag.help)
    text = text if not choices or "One of " in text else f"{text} One of {', '.join(choices)}."
    return f"| `--{flag.name}` | {shown} | {html.escape(text, quote=False).replace('|', chr(92) + '|')} |"


# Notebooks, benchmarks, and links.


def notebook_pages():
    """Page -> Markdown of every notebook: its text and its code, and a link to the notebook itself."""
    return {
        f"notebooks/{path.stem}.md": notebook_markdown(path)
        for path in sorted((ROOT / "docs/notebooks").glob("*.ipynb"))
    }


def notebook_markdown(path):
    """The cells of a notebook as Markdown."""
    parts = []
    for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
        text = "".join(cell["source"])
        parts.append(text if cell["cell_type"] == "markdown" else f"```python\n{text}\n```")
    title, *rest = parts
    return "\n\n".join([title, f"[Download the notebook]({path.name})", *rest]) + "\n"


def copied():
    """The entries of `COPIED` whose file exists."""
    return {page: (title, source) for page, (title, source) in COPIED.items() if (ROOT / source).exists()}


def copied_pages():
    """Page -> Markdown of the pages that lie outside of docs/."""
    return {page: (ROOT / source).read_text(encoding="utf-8") for page, (_, source) in copied().items()}


def pictures():
    """Path on the site -> file of every picture that a benchmark or a study drew."""
    found = (path for folder in PICTURE_FOLDERS for path in sorted((ROOT / folder).rglob("*.png")))
    return {f"results/images/{path.relative_to(ROOT).as_posix()}": path for path in found}


def with_site_links(markdown, source, page):
    """Markdown whose links lead to pages of the site; a link to a file that is no page becomes plain text.

    Args:
        markdown: text of a page.
        source: the file that it was read from, relative to the root of the repository.
        page: its path on the site.
    """
    here = {original: copy for copy, (_, original) in copied().items()}
    here |= {str(path.relative_to(ROOT).as_posix()): copy for copy, path in pictures().items()}

    def rewritten(match):
        picture, text, target, anchor = match.group(1), match.group(2), match.group(3), match.group(4) or ""
        if ":" in target:
            return match.group(0)
        path = posixpath.normpath(posixpath.join(posixpath.dirname(source), target))
        path = here.get(path, path.removeprefix("docs/") if path.startswith("docs/") else "")
        if not path:
            return text
        return f"{picture}[{text}]({posixpath.relpath(path, posixpath.dirname(page) or '.')}{anchor})"

    return LINK.sub(rewritten, markdown)
