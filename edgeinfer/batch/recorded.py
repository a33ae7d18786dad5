"""Names of results in the state of a batch, read without locking it."""

from __future__ import annotations

from pathlib import Path

from edgeinfer.batch.manifest import ManifestFile
from edgeinfer.errors import OutputError, shown_path
from edgeinfer.readers.batch_list import STATE_FOLDER


def recorded_names(folder: Path) -> dict[str, str]:
    """Return the names of the results that earlier calls gave, by the path of the source.

    Args:
        folder: Folder of the batch, which need not exist.

    Raises:
        OutputError: The state cannot be read.
    """
    names: dict[str, str] = {}
    try:
        for path in sorted((folder / STATE_FOLDER).glob("manifest*.jsonl")):
            manifest = ManifestFile(path)
            manifest.open(write=False)
            try:
                names |= {entry.source: entry.result for _, entry in manifest.read_new()}
            finally:
                manifest.close()
    except OSError as error:
        raise OutputError(f"cannot read {shown_path(folder)}: {error.strerror or error}") from error
    return names
