"""Seeded mutations of videos, and a child process that reads them.

    python -m tools.clip_mutations SEED COUNT CLIP...

A crash of a native library ends only the child. Each file is read within limits on memory and time.
"""

from __future__ import annotations

import random
import resource
import subprocess
import sys
import tempfile
import warnings
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from edgeinfer import EdgeInferError, open_source

BATCH = 20
MAX_MEMORY_BYTES = 4 << 30
TIMEOUT_S = 60
LENGTHS = (b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\0\0\0\0", b"\x80\0\0\0")
HEADER_BYTES = 2000


def mutate(content: bytes, rng: random.Random) -> bytes:
    """Return the content with 1 to 16 changes, half of which are in the first 2000 bytes."""
    data = bytearray(content)
    for _ in range(rng.choice((1, 1, 2, 4, 16))):
        at = rng.randrange(len(data) if rng.random() < 0.5 else min(len(data), HEADER_BYTES))
        change = rng.randrange(6)
        if change == 0:
            data[at] ^= 1 << rng.randrange(8)
        elif change == 1:
            data[at : at + 4] = rng.choice(LENGTHS)
        elif change == 2:
            del data[at : at + rng.randrange(1, 200)]
        elif change == 3:
            data[at:at] = rng.randbytes(rng.randrange(1, 50))
        elif change == 4:
            del data[at:]
        else:
            data[at : at + rng.randrange(1, 64)] = rng.randbytes(rng.randrange(1, 64))
        data = data or bytearray(b"x")
    return bytes(data)


def read_mutations(seed: int, count: int, clips: Sequence[Path]) -> Counter[str]:
    """Return the number of mutated clips per outcome: "read", "refused", or a description of a failure."""
    rng, outcomes = random.Random(seed), Counter[str]()
    with tempfile.TemporaryDirectory() as folder:
        paths = []
        for number in range(count):
            clip = clips[number % len(clips)]
            path = Path(folder, f"{seed}-{number:05}{clip.suffix}")
            path.write_bytes(mutate(clip.read_bytes(), rng))
            paths.append(path)
        for first in range(0, count, BATCH):
            outcomes.update(_read_in_child(paths[first : first + BATCH]))
    return outcomes


def _read_in_child(paths: Sequence[Path]) -> list[str]:
    command = [sys.executable, "-m", "tools.clip_mutations", "--read", *map(str, paths)]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False, cwd=Path(__file__).parents[1]
        )
    except subprocess.TimeoutExpired:
        code = "timeout"
    else:
        if done.returncode == 0:
            return done.stdout.splitlines()
        code = f"exit code {done.returncode}"
    if len(paths) == 1:
        return [f"{paths[0].name}: {code}"]
    return [outcome for path in paths for outcome in _read_in_child([path])]


def _read(path: Path) -> str:
    last_s = -1.0
    try:
        with open_source(path) as source:
            for frame in source:
                if not frame.timestamp_s > last_s:
                    return f"{path.name}: {frame.timestamp_s} s after {last_s} s"
                last_s = frame.timestamp_s
    except EdgeInferError as error:
        return "refused" if error.exit_code == 4 else f"{path.name}: {error}"
    except Exception as error:
        return f"{path.name}: unexpected {error!r}"
    return "read"


if __name__ == "__main__":
    if sys.argv[1] == "--read":
        resource.setrlimit(resource.RLIMIT_AS, (MAX_MEMORY_BYTES, MAX_MEMORY_BYTES))
        warnings.simplefilter("ignore")
        for argument in sys.argv[2:]:
            print(_read(Path(argument)), flush=True)
    else:
        print(read_mutations(int(sys.argv[1]), int(sys.argv[2]), [Path(clip) for clip in sys.argv[3:]]))
