"""When an output is split into parts, what the parts are called and how many of them stay."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from pathlib import Path

from edgeinfer.errors import UsageError
from edgeinfer.units import _check_duration, _check_size, parse_duration, parse_size


@dataclass(frozen=True, slots=True)
class Rotation:
    """How a growing output is split. The current part keeps the output's name, a finished one gets a time.

    Attributes:
        size_bytes: a part ends with the frame that brings it to this size, 1000 bytes or more; None for any size.
        every_s: a part ends where the clock passes a multiple of so many seconds, 1 or more: 3600 is every full hour,
            86400 midnight UTC, whenever the program was started; None for any age.
        keep: how many finished parts stay, the youngest ones, 1 or more; None for all.
    """

    size_bytes: int | None = None
    every_s: float | None = None
    keep: int | None = None

    def __post_init__(self) -> None:
        """Refuse what makes no sense.

        Raises:
            UsageError: a value is too small, or nothing says when to split.
        """
        if self.size_bytes is None and self.every_s is None:
            raise UsageError("to keep old parts, say when to split: by size or by time")
        if self.size_bytes is not None:
            _check_size(self.size_bytes)
        if self.every_s is not None:
            _check_duration(self.every_s)
        if self.keep is not None and self.keep < 1:
            raise UsageError(f"one old part or more is kept, not {self.keep}")

    @classmethod
    def parse(cls, size: str | None = None, every: str | None = None, keep: int | None = None) -> Rotation | None:
        """Read options as people write them.

        Args:
            size: such as "100MB"; units are B, kB, MB and GB, decimal.
            every: such as "1h"; units are s, m, h and d.
            keep: how many finished parts stay.

        Returns:
            None where nothing was asked for.

        Raises:
            UsageError: an option cannot be read or makes no sense.
        """
        if size is None and every is None and keep is None:
            return None
        return cls(None if size is None else parse_size(size), None if every is None else parse_duration(every), keep)

    def due(self, *, size_bytes: int, began_s: float, now_s: float) -> bool:
        """Whether a part of this size ends before the next frame.

        Args:
            size_bytes: of the part.
            began_s: when it began, or when an older run last wrote it, in seconds since 1970.
            now_s: the time, likewise.
        """
        if self.size_bytes is not None and size_bytes >= self.size_bytes:
            return True
        # Not "later": a clock that was set back splits once too often rather than never again.
        return self.every_s is not None and began_s // self.every_s != now_s // self.every_s

    def file_away(self, path: Path, ended_s: float) -> Path:
        """Rename a finished part, and delete the parts that are too old to keep.

        Args:
            path: of the output.
            ended_s: when the part ended, in seconds since 1970.

        Returns:
            The part's new path.

        Raises:
            OSError: it cannot be renamed, or an old part not be deleted.
        """
        stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(ended_s))
        older = _parts(path)
        number = max((taken for ended, taken, _ in older if ended == stamp), default=-1) + 1
        part = path.rename(path.with_name(f"{path.stem}-{stamp}{f'-{number}' if number else ''}{path.suffix}"))
        if self.keep is not None:
            # What seems to be younger than this one is from before the clock was set back.
            older.sort(key=lambda old: (old[0] <= stamp, *old))
            for *_, old in older[: max(0, len(older) + 1 - self.keep)]:
                old.unlink(missing_ok=True)
        return part


def parts(path: Path) -> list[Path]:
    """The finished parts of an output, from the oldest to the youngest by name."""
    return [file for *_, file in sorted(_parts(path))]


def _parts(path: Path) -> list[tuple[str, int, Path]]:
    """When each part ended, its number within that second, and the file."""
    own = re.compile(rf"{re.escape(path.stem)}-(\d{{8}}T\d{{6}}Z)(?:-(\d+))?{re.escape(path.suffix)}")
    found = ((own.fullmatch(file.name), file) for file in path.parent.iterdir())
    return [(match[1], int(match[2] or 0), file) for match, file in found if match]
