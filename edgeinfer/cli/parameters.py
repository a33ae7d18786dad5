"""Expansion of option groups into Typer parameters, and the help text that shows them in titled groups."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import is_dataclass
from typing import Annotated, Any, TypeVar, get_args, get_origin

import typer
from typer.core import TyperCommand

from edgeinfer.cli.masking import masked
from edgeinfer.options.fields import OptionField, OptionGroup, option_fields

Group = TypeVar("Group", bound=OptionGroup)
_PARSER_ERRORS: Any = typer.BadParameter.__mro__[1]  # UsageError, which typer does not export


class GroupedCommand(TyperCommand):
    """Command whose help text lists options under the title of their group, without Rich."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        for parameter in self.params:
            _name_values(parameter)

    def make_context(self, info_name: Any, args: Any, parent: Any = None, **extra: Any) -> Any:
        """Parse the arguments; the messages of the parser, which quote invalid arguments, contain no credentials."""
        try:
            return super().make_context(info_name, args, parent, **extra)
        except _PARSER_ERRORS as error:
            error.message = masked(error.message)
            raise

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write one section per group in order of definition; options without a group come last."""
        sections: dict[str, list[tuple[str, str]]] = {}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is not None:
                title = "Arguments" if parameter.param_type_name == "argument" else _panel(parameter) or "Options"
                sections.setdefault(title, []).append(record)
        others = sections.pop("Options", [])
        for title, records in (*sections.items(), ("Options", others)):
            if records:
                with formatter.section(title):
                    formatter.write_dl(records)


def _name_values(parameter: Any) -> None:
    """Replace the parser's placeholder for a value, such as "int range", in the help and in messages."""
    if parameter.param_type_name == "argument":
        parameter.metavar = parameter.metavar or parameter.name.upper()
    kind = parameter.type.name.removesuffix(" range")
    if kind in _PLACEHOLDERS:
        placeholder, parameter.type.name = _PLACEHOLDERS[kind]
        parameter.metavar = parameter.metavar or placeholder


_PLACEHOLDERS = {
    "int": ("N", "integer"), "integer": ("N", "integer"), "float": ("X", "number"), "number": ("X", "number"),
    "str": ("NAME", "text"), "text": ("NAME", "text"), "path": ("PATH", "path"),
}  # fmt: skip
"""Placeholder in the help, and name in messages, of each type of the parser."""


def expand_groups(function: Callable[..., None]) -> Callable[..., None]:
    """Replace each parameter annotated with an option group with one parameter per option.

    Args:
        function: Command with keyword parameters. Those annotated with an `OptionGroup` receive an instance of it;
            those annotated with `Annotated[dict[str, Any], GROUP]` receive the options that were given.

    Returns:
        Function with a flat signature that Typer can inspect.
    """
    parameters = inspect.signature(function, eval_str=True).parameters
    groups = {name: group for name, p in parameters.items() if (group := _group_of(p.annotation))}
    partial = {name for name in groups if parameters[name].annotation is not groups[name]}

    @functools.wraps(function)
    def command(**values: Any) -> None:
        built = {
            name: _given_options(group, values) if name in partial else build_group(group, values)
            for name, group in groups.items()
        }
        flat = {field.name for group in groups.values() for field in option_fields(group)}
        function(**built, **{name: value for name, value in values.items() if name not in flat})

    expanded: list[inspect.Parameter] = []
    for name, parameter in parameters.items():
        expanded += _expand(groups[name], partial=name in partial) if name in groups else [parameter]
    signature = inspect.Signature([p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in expanded])
    command.__signature__ = signature  # type: ignore[attr-defined]
    command.__annotations__ = {p.name: p.annotation for p in expanded}
    return command


def build_group(group: type[Group], values: Mapping[str, Any]) -> Group:
    """Build an option group from parsed parameters."""
    taken = {field.name: _from_parameter(field, values[field.name]) for field in option_fields(group)}
    return group(**taken)


def _group_of(annotation: Any) -> type[Any] | None:
    """Return the option group that a parameter's annotation names, or None."""
    for candidate in (annotation, *getattr(annotation, "__metadata__", ())):
        if isinstance(candidate, type) and is_dataclass(candidate):
            return candidate
    return None


def _given_options(group: type[OptionGroup], values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options of a group that the command line sets."""
    given = {field.name: _from_parameter(field, values[field.name]) for field in option_fields(group)}
    return {name: value for name, value in given.items() if value not in (None, ())}


def _expand(group: type[OptionGroup], *, partial: bool) -> Iterator[inspect.Parameter]:
    for field in option_fields(group):
        annotation = field.type
        if _is_list(field):  # Typer has no lists of choices
            annotation = list[str] if _choices(field) else list[get_args(field.type)[0]]  # type: ignore[misc]
        optional = partial or _is_list(field)
        yield inspect.Parameter(
            field.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=None if optional else field.default,
            annotation=Annotated[annotation | None if optional else annotation, _typer_option(field, group, optional)],
        )


def _typer_option(field: OptionField, group: type[OptionGroup], optional: bool) -> Any:
    details, choices = field.option, _choices(field)

    def validate(value: Any) -> Any:
        for item in value or () if choices else ():
            if item not in choices:
                raise typer.BadParameter(f"{item!r} is not one of {', '.join(map(repr, choices))}.")
        details.validate(value)
        return value

    return typer.Option(
        *details.flags,
        help=details.help,
        metavar=details.metavar or "|".join(choices) or None,
        min=details.minimum,
        max=details.maximum,
        callback=validate if details.check or choices else None,
        show_default=details.show_default
        and not optional
        and field.default not in (None, "")
        and field.default is not False,
        rich_help_panel=details.title or group.title,
    )


def _is_list(field: OptionField) -> bool:
    return get_origin(field.type) is tuple


def _choices(field: OptionField) -> tuple[str, ...]:
    """Return the valid items of a list of choices, or an empty tuple."""
    return get_args(get_args(field.type)[0]) if _is_list(field) else ()


def _from_parameter(field: OptionField, value: Any) -> Any:
    return tuple(value or ()) if _is_list(field) else value


def _panel(parameter: Any) -> str | None:
    panel = getattr(parameter, "rich_help_panel", None)
    return panel if isinstance(panel, str) else None
