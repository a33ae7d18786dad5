"""Hooks of the site's build: pages from outside docs/, files that pages link to, and the generated reference.

A page keeps the links that work in the repository; here they become links of the site. A link to a script, a settings
file or a notebook leads to a page with its text, one to any other file to a copy.
"""

from __future__ import annotations

import inspect
import json
import posixpath
import re
from collections.abc import Callable
from dataclasses import is_dataclass
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page
from typer import Typer
from typer.main import get_command

import edgeinfer
from edgeinfer_export.cli.app import app as export_app
from edgeinfer_train.cli.app import app as train_app

ROOT = Path(__file__).parents[2]
PAGES = (
    "README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md", "train/README.md", "export/README.md",
    "examples/README.md", "examples/plugin/README.md", "models/README.md", "models/EXPERIMENTS.md",
    "models/edgenet-ferplus-int8.md", "models/edgenet-ferplus8-int8.md", "models/accurate.md", "benchmarks/README.md",
)  # fmt: skip
"""Pages from outside docs/."""

LANGUAGES = {".py": "python", ".toml": "toml", ".yaml": "yaml"}
"""Languages of the linked files that become pages."""

NOTEBOOK = ".ipynb"
MAX_CHOICES_CHARACTERS = 40
LINK = re.compile(r"(?<=\]\()(?![a-z]+:|#)([^)#\s]+)")
EXTERNAL = re.compile(r"""<(?:script|img|link|iframe)\b[^>]*\b(?:src|href)=["']?((?:https?:)?//[^"'\s>]+)""")
CODE_SPAN = re.compile(r"`[^`\n]+`")
FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)


def on_files(files: Files, *, config: MkDocsConfig) -> Files:
    """Add the pages from outside docs/, the generated ones, and the files that the pages link to."""
    texts = {path: (ROOT / path).read_text(encoding="utf-8") for path in PAGES}
    for path, text in texts.items():
        files.append(File.generated(config, site_path(path), content=text))
    files.append(File.generated(config, "python.md", content=python_page()))
    for folder, title, app in (("train", "Training", train_app), ("export", "Export", export_app)):
        page = commands_page(folder, title, app)
        files.append(File.generated(config, f"{title.lower()}-commands.md", content=page))
    texts |= {f"docs/{f.src_uri}": Path(f.abs_src_path).read_text(encoding="utf-8")
              for f in files.documentation_pages() if f.abs_src_path and f.generated_by is None}  # fmt: skip
    linked = {target for path, text in texts.items() for target in targets(path, text)}
    for path in sorted(linked - texts.keys()):
        if (ROOT / path).is_file() and site_path(path) not in files.src_uris:
            files.append(linked_file(config, path))
    return files


def on_page_markdown(markdown: str, *, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Turn the links of the repository into links of the site; hide the empty navigation of a page without section."""
    if page.parent is None:
        page.meta["hide"] = ["navigation"]
    source = repository_path(page.file.src_uri)
    here = posixpath.dirname(page.file.src_uri)

    def replace(match: re.Match[str]) -> str:
        return posixpath.relpath(site_path(resolve(source, match[1])), here or ".")

    return outside_fences(markdown, lambda text: CODE_SPAN.sub(unescape_bars, LINK.sub(replace, text)))


def unescape_bars(match: re.Match[str]) -> str:
    """Return a code span with plain bars; GitHub needs their backslashes in tables, Python-Markdown shows them."""
    return match[0].replace(r"\|", "|")


def on_post_build(*, config: MkDocsConfig) -> None:
    """Load the script of the offline search from the site; raise an error if a page loads anything from elsewhere."""
    site = Path(config.site_dir)
    for path in site.rglob("*.html"):
        shim = posixpath.relpath((site / "site" / "iframe-worker.js").as_posix(), path.parent.as_posix())
        text = path.read_text(encoding="utf-8").replace("https://unpkg.com/iframe-worker/shim", shim)
        path.write_text(text, encoding="utf-8")
        for url in EXTERNAL.findall(text):
            if not config.site_url or not url.startswith(config.site_url):
                raise PluginError(f"{path} loads {url} from another server")


def site_path(path: str) -> str:
    """Return the path in the site of a file of the repository."""
    if path.endswith(".md"):
        folder, name = posixpath.split(path.removeprefix("docs/"))
        return posixpath.join(folder, "index.md" if name == "README.md" else name.lower())
    if path.endswith(NOTEBOOK):
        return path.replace(NOTEBOOK, ".md")
    if posixpath.splitext(path)[1] in LANGUAGES:
        return f"{path}.md"
    return path.removeprefix("docs/") if posixpath.splitext(path)[1] else f"{path}.file.md"


def repository_path(src_uri: str) -> str:
    """Return the path in the repository of a page of the site."""
    return next((path for path in PAGES if site_path(path) == src_uri), f"docs/{src_uri}")


def resolve(source: str, target: str) -> str:
    """Return the path in the repository to which a page links."""
    return posixpath.normpath(posixpath.join(posixpath.dirname(source), target))


def targets(source: str, text: str) -> set[str]:
    """Return the paths in the repository to which a text links."""
    return {resolve(source, target) for target in LINK.findall(FENCE.sub("", text))}


def outside_fences(text: str, change: Callable[[str], str]) -> str:
    """Return a text that is changed except in its code blocks."""
    parts = re.split(f"({FENCE.pattern})", text, flags=FENCE.flags)
    return "".join(part if number % 2 else change(part) for number, part in enumerate(parts))


def linked_file(config: MkDocsConfig, path: str) -> File:
    """Return the page with the text of a script, settings file or notebook, or a copy of another file.

    Raises:
        PluginError: The file is a page of the repository, which must be in `PAGES`.
    """
    if path.endswith(".md"):
        raise PluginError(f"a page links to {path}, which is not listed in PAGES of docs/site/hooks.py")
    if not site_path(path).endswith(".md"):
        return File.generated(config, site_path(path), abs_src_path=str(ROOT / path))
    text = (ROOT / path).read_text(encoding="utf-8")
    if path.endswith(NOTEBOOK):
        return File.generated(config, site_path(path), content=notebook_page(text))
    language = LANGUAGES.get(posixpath.splitext(path)[1], "text")
    return File.generated(config, site_path(path), content=f"# {path}\n\n````{language}\n{text}````\n")


def notebook_page(text: str) -> str:
    """Return the page of a notebook: its texts unchanged, its code as blocks."""
    cells = [(cell["cell_type"], "".join(cell["source"])) for cell in json.loads(text)["cells"]]
    return "\n\n".join(text if kind == "markdown" else f"```python\n{text}\n```" for kind, text in cells) + "\n"


def python_page() -> str:
    """Return the page of the public names, which mkdocstrings fills from their docstrings."""
    groups: dict[str, list[str]] = {title: [] for title in ("Functions", "Classes", "Values", "Protocols", "Errors")}
    for name in edgeinfer.__all__:
        groups[group_of(getattr(edgeinfer, name))].append(f"::: edgeinfer.{name}")
    sections = "\n\n".join(f"## {title}\n\n" + "\n\n".join(names) for title, names in groups.items())
    return f"# Python API\n\n{inspect.cleandoc(edgeinfer.__doc__ or '')}\n\n{sections}\n"


def commands_page(folder: str, title: str, app: Typer) -> str:
    """Return the page of the options of `edgeinfer-train` or `edgeinfer-export`."""
    command: Any = get_command(app)
    sections = [command_section(f"edgeinfer-{folder} {name}", each) for name, each in command.commands.items()]
    return "\n\n".join((f"# {title} commands", f"[{title}]({folder}/README.md) explains their use.", *sections)) + "\n"


def command_section(name: str, command: Any) -> str:
    """Return the section of one command: help text, synopsis and a table of its options."""
    arguments = [p for p in command.params if p.param_type_name == "argument"]
    options = [p for p in command.params if p.param_type_name == "option"]
    synopsis = " ".join((name, *(p.metavar or p.name.upper() for p in arguments), "[OPTIONS]"))
    rows = [option_row(p) for p in options]
    head = ("| option | default | meaning |", "|---|---|---|")
    return "\n".join((f"## {command.name}\n\n{command.help}\n\n```text\n{synopsis}\n```\n", *head, *rows))


def option_row(option: Any) -> str:
    """Return the row of an option in a table; a long list of choices moves into its last column."""
    names = getattr(option.type, "choices", ())
    choices = "|".join(names)
    kind = "PATH" if option.type.name == "path" else "N" if option.type.name.startswith(("int", "float")) else "NAME"
    is_long = len(choices) > MAX_CHOICES_CHARACTERS
    value = "" if option.is_flag else option.metavar or (kind if is_long else choices or kind)
    shown = option.show_default and not option.is_flag and option.default not in (None, ())
    default = f"`{option.default}`" if shown else ""
    more = f" One of {', '.join(f'`{name}`' for name in names)}." if is_long else ""
    return f"| `{f'{option.opts[0]} {value}'.strip()}` | {default} | {option.help or ''}{more} |"


def group_of(value: Any) -> str:
    """Return the heading below which a public name is listed."""
    if inspect.isfunction(value):
        return "Functions"
    if not inspect.isclass(value):
        return "Values"
    if issubclass(value, Exception):
        return "Errors"
    if getattr(value, "_is_protocol", False):
        return "Protocols"
    return "Values" if is_dataclass(value) else "Classes"
