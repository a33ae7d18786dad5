"""Option tables of docs/reference.md, generated from the option groups.

This command writes those of each command between markers such as `<!-- run:start -->` and `<!-- run:end -->`:

    python tests/tools/reference.py
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain, groupby
from pathlib import Path
from typing import Any, get_args, get_origin

from edgeinfer.options.fields import OptionField, OptionGroup, option_fields
from edgeinfer.options.groups import RUN_GROUPS, BatchOptions, ReportOptions

REFERENCE = Path(__file__).parents[2] / "docs" / "reference.md"
GROUPS: dict[str, tuple[type[OptionGroup], ...]] = {
    "run": RUN_GROUPS,
    "batch": (BatchOptions,),
    "report": (ReportOptions,),
}
"""Option groups in the tables of each command; `batch` also has groups of `run`."""


def option_tables(groups: tuple[type[OptionGroup], ...]) -> str:
    """Return one Markdown table per title of option groups."""
    titles = groupby(groups, key=lambda group: group.title)
    return "\n\n".join(f"**{title}**\n\n{_table(same)}" for title, same in titles)


def with_tables(text: str) -> str:
    """Return the text of the reference with its option tables replaced."""
    for command, groups in GROUPS.items():
        start, end = f"<!-- {command}:start -->", f"<!-- {command}:end -->"
        if start in text:
            before, _, rest = text.partition(start)
            _, _, after = rest.partition(end)
            text = f"{before}{start}\n{option_tables(groups)}\n{end}{after}"
    return text


def _table(groups: Iterable[type[OptionGroup]]) -> str:
    return "\n".join(("| option | default | meaning |", "|---|---|---|", *_rows(groups)))


def _rows(groups: Iterable[type[OptionGroup]]) -> Iterator[str]:
    for field in chain.from_iterable(map(option_fields, groups)):
        metavar = _metavar(field)
        usage = f"{field.flag} {metavar}".strip().replace("|", "\\|")
        link = f" [Details]({_target(field.option.link)})" if field.option.link else ""
        yield f"| `{usage}` | {_default(field)} | {_prose(field.option.help)}{link} |"


def _target(link: str) -> str:
    return link if ".md" in link else f"#{link}"


def _metavar(field: OptionField) -> str:
    choices: tuple[Any, ...] = ()
    for part in (field.type, *get_args(field.type)):
        if get_origin(part) is not None and all(isinstance(choice, str) for choice in get_args(part)):
            choices = get_args(part)
    return field.option.metavar or "|".join(choices)


def _default(field: OptionField) -> str:
    return "" if field.default in (None, False, ()) else f"`{field.default}`"


def _prose(text: str) -> str:
    return text.replace("|", "\\|").replace("[NAME", "\\[NAME")


if __name__ == "__main__":
    REFERENCE.write_text(with_tables(REFERENCE.read_text(encoding="utf-8")), encoding="utf-8")
