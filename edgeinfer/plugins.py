"""Discovery of sources, detectors and sinks that other packages register as entry points.

| group | entry point name | factory arguments | return value |
|---|---|---|---|
| `edgeinfer.sources` | address scheme, such as `ndi` for `ndi:studio` | address, `Capture` | a `Source` |
| `edgeinfer.detectors` | name for `detector` | detector model's path or None | a `FaceDetector` |
| `edgeinfer.sinks` | file suffix or address scheme | the target | a `Sink` |

Built-in names take precedence. (Python Packaging User Guide, "Creating and discovering plugins".)
"""

from __future__ import annotations

from typing import Any, Literal

from edgeinfer.errors import CapabilityError

Group = Literal["sources", "detectors", "sinks"]


def plugin(group: Group, name: str) -> Any:
    """Return the factory that an installed package registers under a name, or None.

    Raises:
        CapabilityError: The factory is registered but cannot be imported.
    """
    from importlib import metadata  # noqa: PLC0415 - takes 10 ms, and few runs need a plugin

    for entry in metadata.entry_points(group=f"edgeinfer.{group}", name=name):
        try:
            return entry.load()
        except Exception as error:  # importing a third-party module may raise any exception
            raise CapabilityError(
                f"plugin {name!r} cannot be imported from {entry.value}: {error}; update or uninstall its package"
            ) from error
    return None


def plugin_names(group: Group) -> tuple[str, ...]:
    """Return the sorted names that installed packages register in a group."""
    from importlib import metadata  # noqa: PLC0415 - see above

    return tuple(sorted({entry.name for entry in metadata.entry_points(group=f"edgeinfer.{group}")}))
