"""TOML files of settings: read by the commands, and saved with a run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from edgeinfer.errors import shown_path
from edgeinfer.system.files import write_file
from edgeinfer.system.toml import read_toml
from edgeinfer_train.config import FitConfig
from edgeinfer_train.errors import ConfigError


def load_config(path: Path) -> FitConfig:
    """Read settings from a TOML file; see `read_toml`.

    Raises:
        ConfigError: The file cannot be read, is not TOML, or contains an invalid setting.
    """
    return FitConfig.from_mapping(read_settings(path))


def read_settings(path: Path, what: str = "config") -> dict[str, Any]:
    """Read the settings that a TOML file contains, without defaults.

    Args:
        path: The .toml file.
        what: Kind of the file, for the error message.

    Raises:
        ConfigError: The file cannot be read or is not TOML.
    """
    try:
        return read_toml(path)
    except OSError as error:
        raise ConfigError(f"cannot read the {what} {shown_path(path)}: {error.strerror}") from error
    except ValueError as error:
        raise ConfigError(f"{shown_path(path)} is not valid TOML: {error}") from error


def save_config(config: FitConfig, path: Path) -> None:
    """Write settings as TOML."""
    import tomli_w  # noqa: PLC0415 - only needed by `fit`

    write_file(path, tomli_w.dumps(config.to_mapping()))
