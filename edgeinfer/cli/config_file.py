"""TOML files with settings of `edgeinfer run` and `batch`: locations, reading and validation."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

from edgeinfer.errors import EdgeInferError, UsageError
from edgeinfer.options.fields import option_fields
from edgeinfer.options.groups import RUN_GROUPS
from edgeinfer.system.toml import read_toml
from edgeinfer.url import hide_addresses, origin, without_credentials

SYSTEM_FILE = Path("/etc/edgeinfer/config.toml")

SECRETS = frozenset(field.name for group in RUN_GROUPS for field in option_fields(group) if field.option.secret)
"""Settings whose values are never printed."""
TOKEN_PATHS = frozenset({"webhook"})
"""Settings whose URL is printed without its path, which is often a token."""

Kind = Literal["text", "whole number", "number", "boolean", "list"]
KINDS: dict[Kind, tuple[str, tuple[type, ...]]] = {
    "text": ('a string such as "a"', (str, int)),  # a camera number or a frame interval may be an integer
    "whole number": ("an integer such as 2", (int,)),
    "number": ("a number such as 2.5", (int, float)),
    "boolean": ("true or false", (bool,)),
    "list": ('a list of strings such as ["a", "b"]', (list, str)),
}
"""Description of each kind of value, and the types that tomllib returns for it."""


@dataclass(frozen=True, slots=True)
class Setting:
    """Valid values of one key.

    Attributes:
        kind: Kind of value.
        check: Function that returns the reason why a value of this kind is invalid, or None; it may also raise an
            `EdgeInferError`.
    """

    kind: Kind
    check: Callable[[Any], str | None]


Tables: TypeAlias = Mapping[str, Mapping[str, Setting]]
"""Valid values by key in each table, by the name of the table."""
NO_TABLES: Tables = {}


def user_file() -> Path:
    """Return the path of the user's file, in `$XDG_CONFIG_HOME` or `~/.config`."""
    return Path(os.environ.get("XDG_CONFIG_HOME") or os.path.expanduser("~/.config")) / "edgeinfer" / "config.toml"  # noqa: PTH111 - Path.expanduser raises for users without a home


def default_files() -> tuple[Path, ...]:
    """Return the files that are read by default, in ascending precedence."""
    return SYSTEM_FILE, user_file()


def config_files(named: Path | None) -> tuple[Path, ...]:
    """Return the files that a run reads: the named one, or those that are read by default."""
    return default_files() if named is None else (named,)


def read_config(path: Path, settings: Mapping[str, Setting], tables: Tables = NO_TABLES) -> dict[str, Any]:
    """Read one file and validate every value in it.

    Args:
        path: Path of a TOML file.
        settings: Valid values by key, outside tables.
        tables: Valid values by key in each table; the name of a table is that of the command that it configures.

    Returns:
        Values by key, and the values of each table as a dict; a single string becomes a list where a list is expected.

    Raises:
        FileNotFoundError: The file does not exist.
        UsageError: The file cannot be read, is not TOML, or has an unknown key or an invalid value.
    """
    try:
        values = read_toml(path)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise FileNotFoundError(path) from error
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}; expected a readable TOML file") from error
    except ValueError as error:
        raise UsageError(f"{path} is not TOML: {error}") from error
    found = {name: values.pop(name) for name in tables if isinstance(values.get(name), dict)}
    for key in values:
        _check_table(path, key, settings, tables)
    return {key: _checked(path, key, value, settings, "run") for key, value in values.items()} | {
        name: {key: _checked(path, key, value, tables[name], name) for key, value in table.items()}
        for name, table in found.items()
    }


def read_configs(
    named: Path | None, settings: Mapping[str, Setting], tables: Tables = NO_TABLES
) -> tuple[dict[str, Any], dict[str, Any], tuple[Path, ...]]:
    """Read the named file, or else the system file and then the user file, which takes precedence.

    Returns:
        Values by key and by table and key, origin of each value likewise, and the files that were read.

    Raises:
        UsageError: The named file is missing, or a file is invalid.
    """
    values: dict[str, Any] = {name: {} for name in tables}
    origins: dict[str, Any] = {name: {} for name in tables}
    found = []
    for path in config_files(named):
        try:
            here = read_config(path, settings, tables)
        except FileNotFoundError as error:
            if named is not None:
                raise UsageError(f"config file {path} does not exist; expected a TOML file") from error
            continue
        for name in tables:
            table = here.pop(name, {})
            values[name] |= table
            origins[name] |= dict.fromkeys(table, path)
        values |= here
        origins |= dict.fromkeys(here, path)
        found.append(path)
    return values, origins, tuple(found)


def as_toml(values: Iterable[tuple[str, Any, str]]) -> str:
    """Format settings as TOML lines without passwords; unset ones become comments.

    Args:
        values: Key, value (None if not set) and comment (may be empty) of each setting.
    """
    return "\n".join(_line(key, value, comment) for key, value, comment in values)


def _check_table(path: Path, key: str, settings: Mapping[str, Setting], tables: Tables) -> None:
    """Raise `UsageError` for a key that belongs into a table."""
    for name, table in tables.items():
        if key not in settings and key in table:
            raise UsageError(f"{path}: {key} is not an option of run; write it below [{name}]")


def _checked(path: Path, key: str, value: Any, settings: Mapping[str, Setting], command: str) -> Any:
    setting = settings.get(key)
    if setting is None:
        import difflib

        near = difflib.get_close_matches(key, settings, 1)
        advice = f"did you mean {near[0]}?" if near else f"expected one of {', '.join(settings)}"
        raise UsageError(f"{path}: {key} is not an option of {command}; {advice}")
    expected, types = KINDS[setting.kind]
    if type(value) not in types or (isinstance(value, list) and not all(isinstance(item, str) for item in value)):
        raise UsageError(f"{path}: {key} must be {expected}, not {_format(key, value)}")
    value = [value] if setting.kind == "list" and isinstance(value, str) else value
    try:
        reason = setting.check(value)
    except EdgeInferError as error:
        reason = str(error)
    if reason:
        reason = without_backticks(hide_addresses(reason, _texts(value)))
        raise UsageError(f"{path}: {key} = {_format(key, value)} is invalid: {reason}")
    return value


def _line(key: str, value: Any, comment: str) -> str:
    if value is None:
        return f"# {key} is not set" + (f"  # {comment}" if comment else "")
    if key in SECRETS:
        return f"# {key} is set (hidden)" + (f"  # {comment}" if comment else "")
    hidden = "credentials hidden" if _without_secrets(key, value) != value else ""
    notes = ", ".join(note for note in (comment, hidden) if note)
    return f"{key} = {_format(key, value)}" + (f"  # {notes}" if notes else "")


def _format(key: str, value: Any) -> str:
    """Format a value as TOML, without passwords."""
    if key in SECRETS:
        return '"…"'
    import json

    # JSON strings, numbers and lists are valid TOML except for one control character.
    return json.dumps(_without_secrets(key, value), ensure_ascii=False, default=str).replace("\x7f", "\\u007f")


def _without_secrets(key: str, value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_secrets(key, item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_without_secrets(key, item) for item in value)
    if isinstance(value, str):
        return origin(value) if key in TOKEN_PATHS else without_credentials(value)
    return without_credentials(str(value)) if isinstance(value, os.PathLike) else value


def _texts(value: Any) -> list[str]:
    """Return the strings in a value of a config file."""
    if isinstance(value, dict):
        value = list(value.values())
    return [text for item in value for text in _texts(item)] if isinstance(value, list) else [str(value)]


def without_backticks(message: str) -> str:
    """Remove the backticks around option names, which are the keys of a config file."""
    return message.replace("`", "")
