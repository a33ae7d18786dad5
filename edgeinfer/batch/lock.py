"""Locks of a batch's folder against a second batch."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from edgeinfer.errors import OutputError, shown_path
from edgeinfer.system.portable import BINARY, try_lock


@contextmanager
def locked(folder: Path, state: Path, shard: tuple[int, int] | None) -> Iterator[None]:
    """Lock a batch's folder, or one shard of it, until the block or the process ends.

    The locks belong to open files, so that a lock file left by a process that was killed locks nothing. File systems
    without locks are treated as unlocked.

    Args:
        folder: Folder of the results, for messages.
        state: Existing folder of the lock files.
        shard: Number of the shard and number of shards, or None for the whole folder.

    Raises:
        OutputError: Another batch has locked the folder or the same shard.
        OSError: A lock file cannot be created.
    """
    with ExitStack() as stack:
        _lock(stack, state / "lock", folder, shared=shard is not None)
        if shard is not None:
            part = f"shard {shard[0]}/{shard[1]} of "
            _lock(stack, state / f"lock.{shard[0]}-of-{shard[1]}", folder, part=part)
        yield


def _lock(stack: ExitStack, path: Path, folder: Path, *, shared: bool = False, part: str = "") -> None:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | BINARY, 0o666)
    stack.callback(os.close, descriptor)
    if not try_lock(descriptor, shared=shared):
        raise OutputError(
            f"another batch is writing to {part}{shown_path(folder)}: wait until it has finished, or choose another "
            "folder as `out`"
        )
