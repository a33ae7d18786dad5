"""Settings of `edgeinfer run` in TOML files: where they lie, what may stand in them."""

from __future__ import annotations

import difflib
import json
import os
import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from edgeinfer.errors import EdgeInferError, UsageError
from edgeinfer.url import without_credentials

SYSTEM_FILE = Path("/etc/edgeinfer/config.toml")

SECRETS = ("preview_token",)
"""Settings that are passwords as a whole."""

Kind = Literal["text", "whole number", "number", "boolean", "list"]
KINDS: dict[Kind, tuple[str, tuple[type, ...]]] = {
    "text": ('a text such as "a"', (str, int)),  # a camera's number, every n-th frame
    "whole number": ("a whole number such as 2", (int,)),
    "number": ("a number such as 2.5", (int, float)),
    "boolean": ("true or false", (bool,)),
    "list": ('a list of texts such as ["a", "b"]', (list, str)),
}
"""What a value may be: in words, and the types that tomllib gives for it."""


@dataclass(frozen=True, slots=True)
class Setting:
    """What may stand under one key.

    Attributes:
        kind: of its value.
        check: raises an `EdgeInferError` or gives a sentence for a value of this kind that makes no sense.
    """

    kind: Kind
    check: Callable[[Any], str | None]


def user_file() -> Path:
    """The user's own file, in `$XDG_CONFIG_HOME` or `~/.config`."""
    return Path(os.environ.get("XDG_CONFIG_HOME") or os.path.expanduser("~/.config")) / "edgeinfer" / "config.toml"  # noqa: PTH111 - Path.expanduser raises for users without a home


def default_files() -> tuple[Path, ...]:
    """The files that are read unless one is named, those that win last."""
    return SYSTEM_FILE, user_file()


def read_config(path: Path, settings: Mapping[str, Setting]) -> dict[str, Any]:
    """Read one file and check every value in it.

    Args:
        path: of a TOML file.
        settings: key to what may stand there.

    Returns:
        Key to value; a single text for a list is made one.

    Raises:
        FileNotFoundError: there is none.
        UsageError: it cannot be read, is no TOML, or has a key or value that makes no sense.
    """
    try:
        values = tomllib.loads(path.read_bytes().decode("utf-8"))
    except (FileNotFoundError, NotADirectoryError) as error:
        raise FileNotFoundError(path) from error
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}; expected a TOML file that you may read") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{path} is no TOML: it is not text in UTF-8 (byte {error.start + 1})") from error
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{path} is no TOML: {error}") from error
    return {key: _checked(path, key, value, settings) for key, value in values.items()}


def read_configs(
    named: Path | None, settings: Mapping[str, Setting]
) -> tuple[dict[str, Any], dict[str, Path], tuple[Path, ...]]:
    """Read the named file, else the system's and over it the user's, where they are there.

    Returns:
        Key to value, key to the file that said so, and the files that were read.

    Raises:
        UsageError: the named file is missing, or one of them makes no sense.
    """
    values: dict[str, Any] = {}
    origins: dict[str, Path] = {}
    found = []
    for path in default_files() if named is None else (named,):
        try:
            here = read_config(path, settings)
        except FileNotFoundError as error:
            if named is not None:
                raise UsageError(f"there is no config file {path}; expected a TOML file") from error
            continue
        values |= here
        origins |= dict.fromkeys(here, path)
        found.append(path)
    return values, origins, tuple(found)


def as_toml(values: Iterable[tuple[str, Any, str]]) -> str:
    """Settings as lines of TOML; what is not set, and why, in comments. Passwords are left out.

    Args:
        values: key, value (None: not set) and a comment, which may be empty.
    """
    return "\n".join(_line(key, value, comment) for key, value, comment in values)


def _checked(path: Path, key: str, value: Any, settings: Mapping[str, Setting]) -> Any:
    setting = settings.get(key)
    if setting is None:
        near = difflib.get_close_matches(key, settings, 1)
        advice = f"did you mean {near[0]}?" if near else f"expected one of {', '.join(settings)}"
        raise UsageError(f"{path}: {key} is no option of run; {advice}")
    expected, types = KINDS[setting.kind]
    if type(value) not in types or (isinstance(value, list) and not all(isinstance(item, str) for item in value)):
        raise UsageError(f"{path}: {key} must be {expected}, not {_shown(key, value)}")
    value = [value] if setting.kind == "list" and isinstance(value, str) else value
    try:
        reason = setting.check(value)
    except EdgeInferError as error:
        reason = str(error)
    if reason:
        raise UsageError(f"{path}: {key} = {_shown(key, value)} makes no sense: {reason}")
    return value


def _line(key: str, value: Any, comment: str) -> str:
    if value is None:
        return f"# {key} is not set" + (f"  # {comment}" if comment else "")
    if key in SECRETS:
        return f"# {key} is set, and hidden" + (f"  # {comment}" if comment else "")
    hidden = "password and query hidden" if _without_passwords(value) != value else ""
    notes = ", ".join(note for note in (comment, hidden) if note)
    return f"{key} = {_shown(key, value)}" + (f"  # {notes}" if notes else "")


def _shown(key: str, value: Any) -> str:
    """A value as TOML writes it, passwords left out."""
    if key in SECRETS:
        return '"…"'
    # JSON's texts, numbers and lists are TOML's, but for one control character.
    return json.dumps(_without_passwords(value), ensure_ascii=False, default=str).replace("\x7f", "\\u007f")


def _without_passwords(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return [_without_passwords(item) for item in value]
    if isinstance(value, str) and "://" in value:
        try:
            return without_credentials(value)
        except ValueError:  # no URL, as it turns out; yet it may hold a password
            return value.partition("://")[0] + "://"
    return value
