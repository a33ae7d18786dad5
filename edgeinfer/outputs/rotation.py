"""Rotation of growing output files."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from pathlib import Path

from edgeinfer.errors import UsageError
from edgeinfer.units import check_duration, check_size, parse_duration, parse_size


@dataclass(frozen=True, slots=True)
class Rotation:
    """Rules for splitting a growing output file into parts.

    The current part has the output's own name; a finished part is renamed to `<stem>-<UTC time><suffix>`.

    Attributes:
        size_bytes: Size at which a part ends, in bytes, 1000 or more; None for no limit. The frame that reaches the
            size is the last one of the part.
        every_s: Interval in seconds, 1 or more, or None. A part ends where the clock passes a multiple of the interval,
            independent of the start of the run: 3600 splits at every full hour, 86400 at midnight UTC.
        keep: Number of finished parts to keep, 1 or more; older ones are deleted. None keeps all.

    Raises:
        UsageError: A value is out of range, or `keep` is given without a size or interval.

    Examples:
        >>> import edgeinfer
        >>> hourly = edgeinfer.Rotation(every_s=3600, keep=24)
        >>> sink = edgeinfer.open_sink("faces.jsonl", rotation=hourly)
        >>> edgeinfer.Rotation.parse(size="100MB")
        Rotation(size_bytes=100000000, every_s=None, keep=None)
    """

    size_bytes: int | None = None
    every_s: float | None = None
    keep: int | None = None

    def __post_init__(self) -> None:
        """Validate the values."""
        if self.size_bytes is None and self.every_s is None:
            raise UsageError(
                "no size or interval for splitting files: set `split_size` or `split_every`, or remove `keep`"
            )
        if self.size_bytes is not None:
            check_size(self.size_bytes)
        if self.every_s is not None:
            check_duration(self.every_s)
        if self.keep is not None and self.keep < 1:
            raise UsageError(f"invalid `keep` {self.keep}: expected 1 or more parts")

    @classmethod
    def parse(cls, size: str | None = None, every: str | None = None, keep: int | None = None) -> Rotation | None:
        """Create rules from option texts.

        Args:
            size: Maximum size, such as "100MB"; the units are B, kB, MB and GB, decimal.
            every: Interval, such as "1h"; the units are s, m, h and d.
            keep: Number of finished parts to keep.

        Returns:
            The rules, or None if all arguments are None.

        Raises:
            UsageError: An argument is malformed or out of range.
        """
        if size is None and every is None and keep is None:
            return None
        return cls(None if size is None else parse_size(size), None if every is None else parse_duration(every), keep)

    def due(self, *, size_bytes: int, began_s: float, now_s: float) -> bool:
        """Return True if a part must end before the next frame.

        Args:
            size_bytes: Size of the part in bytes.
            began_s: Start of the part, or the last modification by an earlier run, in seconds since 1970.
            now_s: Current time in seconds since 1970.
        """
        if self.size_bytes is not None and size_bytes >= self.size_bytes:
            return True
        # "!=" instead of "<": after the clock was set back, this splits once too early rather than never again.
        return self.every_s is not None and began_s // self.every_s != now_s // self.every_s

    def archive(self, path: Path, ended_s: float) -> Path:
        """Rename a finished part and delete parts beyond `keep`.

        Args:
            path: Path of the output.
            ended_s: End of the part in seconds since 1970.

        Returns:
            The new path of the part.

        Raises:
            OSError: The part cannot be renamed, or an old part cannot be deleted.
        """
        stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(ended_s))
        older = _parts(path)
        number = max((taken for ended, taken, _ in older if ended == stamp), default=-1) + 1
        part = path.rename(path.with_name(f"{path.stem}-{stamp}{f'-{number}' if number else ''}{path.suffix}"))
        if self.keep is not None:
            # Parts with a later time stamp than this one predate a change of the clock, so they are the oldest.
            older.sort(key=lambda old: (old[0] <= stamp, *old))
            for *_, old in older[: max(0, len(older) + 1 - self.keep)]:
                old.unlink(missing_ok=True)
        return part


def finished_parts(path: Path) -> list[Path]:
    """Return the finished parts of an output, from the oldest to the newest by name."""
    return [file for *_, file in sorted(_parts(path))]


def is_part(path: Path, output: Path) -> bool:
    """Return True if a path is that of a finished part of an output, whether or not it exists."""
    return path.parent == output.parent and _part_pattern(output).fullmatch(path.name) is not None


def _parts(path: Path) -> list[tuple[str, int, Path]]:
    """Return the time stamp, the number within that second and the path of each part."""
    pattern = _part_pattern(path)
    matches = ((pattern.fullmatch(file.name), file) for file in path.parent.iterdir())
    return [(match[1], int(match[2] or 0), file) for match, file in matches if match]


def _part_pattern(path: Path) -> re.Pattern[str]:
    return re.compile(rf"{re.escape(path.stem)}-(\d{{8}}T\d{{6}}Z)(?:-(\d+))?{re.escape(path.suffix)}")
