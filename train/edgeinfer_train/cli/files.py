"""Output files of the commands: checks before the work starts, and error handling while writing."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from edgeinfer.errors import OutputError, UsageError
from edgeinfer.system.files import write_file
from edgeinfer.system.identity import NamedPath, check_distinct

JsonOption = Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Also write the results as JSON.")]


def check_outputs(
    json_file: Path | None,
    picture: Path | None,
    *,
    option: str = "picture",
    suffixes: tuple[str, ...] = (".png",),
    inputs: Iterable[NamedPath] = (),
) -> None:
    """Validate output paths before any work starts.

    Args:
        json_file: Results as JSON.
        picture: Picture of the results.
        option: Parameter with the path of the picture.
        suffixes: Suffixes that the picture may have.
        inputs: Files that the command reads.

    Raises:
        UsageError: the picture has another suffix, or an output is an input or the other output.
        OutputError: a parent folder does not exist.
    """
    if picture is not None and picture.suffix.lower() not in suffixes:
        raise UsageError(f"invalid picture file {picture}: expected a {' or '.join(suffixes)} file")
    for path in (json_file, picture):
        if path is not None and not path.parent.is_dir():
            raise OutputError(f"the folder {path.parent} does not exist; create it first")
    outputs = {"`json_file`": json_file, f"`{option}`": picture}
    check_distinct((NamedPath(role, str(path)) for role, path in outputs.items() if path is not None), inputs)


def write_json(values: dict[str, Any], path: Path) -> None:
    """Write a mapping as indented JSON.

    Raises:
        OutputError: the file cannot be written.
    """
    with convert_write_errors(path):
        write_file(path, json.dumps(values, indent=2) + "\n")


@contextlib.contextmanager
def convert_write_errors(path: Path) -> Iterator[None]:
    """Convert an OSError in the block into an OutputError that names `path`.

    Raises:
        OutputError: `path` cannot be written.
    """
    try:
        yield
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror or error}") from error
