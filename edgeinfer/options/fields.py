"""Option metadata on dataclass fields, read by the command line, TOML files, the environment and the reference."""

from __future__ import annotations

import dataclasses
import functools
import pkgutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, get_type_hints

from edgeinfer.plugins import Group

_KEY = "option"
# Evaluating the annotations of all groups takes several milliseconds, and each run needs them several times.
_type_hints: Callable[[Any], dict[str, Any]] = functools.cache(get_type_hints)


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """Description of one option.

    Attributes:
        help: Sentence for the help text and the reference.
        metavar: Placeholder of the value, such as "FILE.mp4"; None derives it from the type.
        minimum: Smallest value of a number, or None.
        maximum: Largest value of a number, or None.
        check: Function that raises an `EdgeInferError` for an invalid value, or "module:function" to import it when
            a value is given, so that the help text imports no heavy module.
        plugins: Entry-point group whose names are valid values too, or None.
        secret: True if the value must never be printed.
        link: Anchor in docs/reference.md, or PAGE.md#ANCHOR in docs/, that explains the option, or "".
        flags: Names on the command line where they differ from the field's name; "--on/--off" for a boolean one.
        show_default: False if the help text states the default itself.
        title: Heading in the help text where it differs from that of the group.
    """

    help: str
    metavar: str | None = None
    minimum: float | None = None
    maximum: float | None = None
    check: str | Callable[[Any], object] | None = None
    plugins: Group | None = None
    secret: bool = False
    link: str = ""
    flags: tuple[str, ...] = ()
    show_default: bool = True
    title: str = ""

    def validate(self, value: Any) -> None:
        """Raise an `EdgeInferError` if a value, or one item of a list, is invalid."""
        if self.check is None or value is None:
            return
        check = pkgutil.resolve_name(self.check) if isinstance(self.check, str) else self.check
        for item in value if isinstance(value, list | tuple) else (value,):
            check(item)


class OptionGroup(Protocol):
    """Frozen dataclass whose fields are options.

    Attributes:
        title: Heading of the group in the help text.
    """

    title: ClassVar[str]
    __dataclass_fields__: ClassVar[dict[str, dataclasses.Field[Any]]]


@dataclass(frozen=True, slots=True)
class OptionField:
    """One option of a group.

    Attributes:
        name: Field name, which is also the TOML key.
        type: Resolved type annotation.
        default: Default value.
        option: Description.
    """

    name: str
    type: Any
    default: Any
    option: Option

    @property
    def flag(self) -> str:
        """Name on the command line."""
        return self.option.flags[0].partition("/")[0] if self.option.flags else f"--{self.name.replace('_', '-')}"


def option(default: Any, help: str, **details: Any) -> Any:
    """Return a dataclass field that describes an option.

    Args:
        default: Default value, immutable.
        help: Sentence for the help text and the reference.
        details: Other attributes of `Option`.
    """
    return dataclasses.field(default=default, metadata={_KEY: Option(help=help, **details)})


def option_fields(group: type[OptionGroup]) -> Iterator[OptionField]:
    """Yield the options of a group in the order of their definition."""
    types = _type_hints(group)
    for field in dataclasses.fields(group):
        if _KEY in field.metadata:
            yield OptionField(field.name, types[field.name], field.default, field.metadata[_KEY])
