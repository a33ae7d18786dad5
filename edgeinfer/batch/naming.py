"""Names of the results of a batch."""

from __future__ import annotations

import hashlib
import os
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from pathlib import Path, PurePath
from typing import get_args

from edgeinfer.options.groups import ResultFormat
from edgeinfer.readers.batch_list import STATE_FOLDER

MAX_NAME_BYTES = 220
"""Longest name of a file without the suffix of its format, with room for a hash and the prefix of temporary files."""
MAX_FOLDER_BYTES = 255
MAX_PATH_BYTES = 2000
"""Longest path of a result below the folder of the batch."""
RESULT_SUFFIXES = tuple(f".{suffix}" for suffix in get_args(ResultFormat))
COPIES = "annotated"
"""Folder of the annotated copies, in the folder of the batch."""
COPY_SUFFIX = ".mp4"
"""Suffix of the annotated copies of videos, whose names are those of the results."""
RESERVED_FOLDERS = frozenset({COPIES, STATE_FOLDER})
"""Folders of annotated copies and of the state, in the folder of the batch."""

_RESERVED_NAME = re.compile(r"batch(\.\d+-of-\d+)?")
"""Tables of the batch, without suffix."""
_SUFFIXES = (*RESULT_SUFFIXES, COPY_SUFFIX)
_LAST_LEVEL = 2
_MAX_CHARACTER_BYTES = 4


def result_names(paths: Sequence[str], given: Mapping[str, str], *, ignore_case: bool = False) -> list[str]:
    """Return the name of the results of each source: a relative path without the suffix of the format.

    The suffix of a source is left out. Sources that would share a name keep theirs; a name that is still not unique,
    not allowed or too long ends in a hash. The names depend on the set of paths, not on their order.

    Args:
        paths: Relative paths of the sources, each once.
        given: Names of earlier calls by path of the source; they stay, and are not given to other sources.
        ignore_case: True if names that differ only by case are the same file.

    Examples:
        >>> result_names(["a/07.mp4", "b.avi", "b.mp4", "batch.mp4"], {})
        ['a/07', 'b.avi', 'b.mp4', 'batch.mp4']
        >>> result_names(["b.avi", "b.mp4"], {"b.mp4": "b"})
        ['b.avi', 'b']
    """
    key = _caseless if ignore_case else str
    names: dict[str, str] = {}
    taken: set[str] = set()
    for path, name in given.items():
        if is_valid(name) and key(name) not in taken:
            names[path] = name
            taken.add(key(name))
    new = {path: _candidate(path, 0) for path in paths if path not in names}
    folders = {key(folder) for name in (*names.values(), *new) for folder in _folders(name)}
    levels: dict[str, int] = {}
    while clashing := _clashing(new, levels, taken, folders, key):
        for path in clashing:
            levels[path] = levels.get(path, 0 if _has_suffix(path) else 1) + 1
            new[path] = _candidate(path, levels[path])
    names |= new
    return [names[path] for path in paths]


def is_valid(name: str) -> bool:
    """Return True if a name can be that of a result: relative, not reserved, and without ".." and empty components."""
    first, *others = name.split("/")
    if any(part in ("", ".", "..") or "\0" in part for part in (first, *others)):
        return False
    return first.lower() not in RESERVED_FOLDERS if others else not _RESERVED_NAME.fullmatch(name.lower())


def ignores_case(folder: Path) -> bool:
    """Return True if the file system of a folder, or of its closest existing parent, does not distinguish case."""
    resolved = Path(os.path.realpath(folder))
    existing = next(path for path in (resolved, *resolved.parents) if path.exists())
    other = existing.with_name(existing.name.swapcase()) if existing.name else existing
    try:
        return other != existing and other.samefile(existing)
    except OSError:
        return False


def _clashing(
    names: Mapping[str, str],
    levels: Mapping[str, int],
    taken: Set[str],
    folders: Set[str],
    key: Callable[[str], str],
) -> list[str]:
    """Return the paths whose name must change, because it is taken, not allowed, a folder or not unique.

    Of several that share a name, those that can keep their suffix change, and the others only if there are none.
    """
    counts = Counter(map(key, names.values()))
    clashing: list[str] = []
    shared: dict[str, list[str]] = {}
    for path, name in names.items():
        plain = key(name)
        if levels.get(path, 0) == _LAST_LEVEL:
            continue
        if plain in taken or not is_valid(name) or any(plain + suffix in folders for suffix in _SUFFIXES):
            clashing.append(path)
        elif counts[plain] > 1:
            shared.setdefault(plain, []).append(path)
    for paths in shared.values():
        clashing += [path for path in paths if path not in levels and _has_suffix(path)] or paths
    return clashing


def _candidate(path: str, level: int) -> str:
    """Return a name for a path: without its suffix at level 0, with it at level 1, with a hash too at level 2."""
    folder, slash, file = path.rpartition("/")
    stem = os.path.splitext(file)[0]  # noqa: PTH122 - called for each of many files
    name = (stem, file, f"{file}-{_hash(path)}")[level]
    first, _, rest = folder.partition("/")
    if first.lower() in RESERVED_FOLDERS:
        folder = f"{first}_/{rest}" if rest else f"{first}_"
    name = f"{folder}{slash}{name}"
    return name if len(name) * _MAX_CHARACTER_BYTES <= MAX_NAME_BYTES else _shortened(name)


def _has_suffix(path: str) -> bool:
    return PurePath(path).suffix != ""


def _shortened(name: str) -> str:
    """Return a name whose components and whole length fit a file system; shortened parts end in a hash."""
    *folders, file = name.split("/")
    parts = [*(_cut(part, MAX_FOLDER_BYTES) for part in folders), _cut(file, MAX_NAME_BYTES)]
    short = "/".join(parts)
    return short if len(os.fsencode(short)) <= MAX_PATH_BYTES else _cut(f"{parts[-1]}-{_hash(name)}", MAX_NAME_BYTES)


def _cut(part: str, max_bytes: int) -> str:
    if len(os.fsencode(part)) <= max_bytes:
        return part
    end = f"-{_hash(part)}"
    kept = part[:max_bytes]
    while len(os.fsencode(kept)) > max_bytes - len(end):
        kept = kept[:-1]
    return kept + end


def _hash(text: str) -> str:
    return hashlib.sha256(os.fsencode(text)).hexdigest()[:8]


def _folders(name: str) -> Iterator[str]:
    """Yield the folders of a relative path, the closest first."""
    while name := name.rpartition("/")[0]:
        yield name


def _caseless(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()
