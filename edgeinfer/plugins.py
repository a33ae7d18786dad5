"""Parts that other packages bring: they name a factory under one of our entry points, and it is found by its name.

| group | the name is | the factory takes | and gives |
|---|---|---|---|
| `edgeinfer.sources` | an address' scheme, `ndi` for `ndi:studio` | the whole address, and a `Capture` | a `Source` |
| `edgeinfer.detectors` | a name for `--detector` | the detector model's path or None | a `FaceDetector` |
| `edgeinfer.sinks` | the suffix of a file, or the scheme of an address | the target | a `Sink` |

Our own names come first. (Python Packaging User Guide, "Creating and discovering plugins".)
"""

from __future__ import annotations

from importlib import metadata
from typing import Any, Literal

from edgeinfer.errors import CapabilityError

Group = Literal["sources", "detectors", "sinks"]


def plugin(group: Group, name: str) -> Any:
    """The factory that a package brings under a name; None where none does.

    Raises:
        CapabilityError: it is there and cannot be imported.
    """
    for entry in metadata.entry_points(group=f"edgeinfer.{group}", name=name):
        try:
            return entry.load()
        except Exception as error:  # a stranger's module may fail in any way
            raise CapabilityError(f"{entry.value}, which brings {name}, cannot be imported: {error}") from error
    return None


def plugin_names(group: Group) -> tuple[str, ...]:
    """Every name that installed packages bring, sorted."""
    return tuple(sorted({entry.name for entry in metadata.entry_points(group=f"edgeinfer.{group}")}))
