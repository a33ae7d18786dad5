"""Seeded, endless sequences of mutated inputs, one per target."""

from __future__ import annotations

import json
import random
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from edgeinfer.detection.cascade_files import find_cascade
from edgeinfer.model.card import find_model
from tools.cascade_mutations import cascade_mutations
from tools.cascades import lbp_cascade
from tools.cli import edgeinfer
from tools.clip_mutations import mutate
from tools.matroska import grey_jpeg, matroska
from tools.mutations import Mutation, mutations
from tools.result_files import Faces, face, jsonl_lines, steady, write_batch_table, write_csv
from tools.secret_texts import HOSTILE, addresses
from tools.tiny_model import LABELS, model_bytes, write_model

ASSETS = Path(__file__).parents[1] / "assets"
FACE = ASSETS / "face.jpg"
PICTURES = (".jpg", ".png", ".bmp", ".webp", ".tiff", ".ppm", ".gif", ".avif")
CASCADES = ("russian_plate_number", "lefteye_2splits", "license_plate_rus_16stages")
CONFIG = b"""# settings of a camera
source = "rtsp://me:secret@camera/live"
out = ["faces.jsonl", "faces.csv"]
detector = "haar"
detect_every = "auto"
size = "1280x720"
fps = 30
threads = 2
prior = "balanced"
retries = "forever"
stall_timeout = 20.5
split_every = "1d"
keep = 30
max_temp = 75.0
quiet = true
webhook = "https://hooks.example/T000"
"""
SUMMARY = b'{"type":"summary","frames":1,"faces":1,"elapsed_s":0.1,"fps":10.0,"stages_ms":{}}\n'
"""Summary line of a JSONL file. That of a run contains times, which would make the cases irreproducible."""
NUMBERS = (
    b"0", b"-1", b"1e20", b"1e999", b"-1e-320", b"nan", b"NaN", b"inf", b"-Infinity", b"0x10", b"1_0", b"9" * 5000,
    b"2147483648", b"9223372036854775808", b"0.1", b"true", b"null", b"1979-05-27T07:32:00Z",
)  # fmt: skip
TEXT = (
    *NUMBERS, b"\xef\xbb\xbf", b"\xff\xfe", b"\0", b"\x1b[31m", b"\xff", "é😀".encode(), b"\r\n", b"\n", b'"', b"'",
    b'"""', b"\\u0000", b"\\ud800", b"{", b"}", b"[", b"]", b"[" * 3000, b'{"a":' * 3000, b"{}", b"[]", b",", b":",
    b"=", b"a." * 2000, b"A" * 20_000, b"[[", b"# ", b"/", b"../", b"~nosuch/", b"%s", b"`x`",
)  # fmt: skip
HTTP = (
    b"\r\n", b"\n", b"\r", b"\r\n\r\n", b"\0", b"[", b"%", b"%ff", b"\xff", b" ", b"\t", b":", b"HTTP/", b"HTTP/1.1 ",
    b"A" * 20_000, b"X: y\r\n" * 200, b"\x1b[31m", b"//", b"-1", b"9" * 400, b"Content-Length: ",
    b"Transfer-Encoding: chunked\r\n", b"Location: http://127.0.0.1/\r\n", b"100 Continue", b"302", b"GET ", b"HEAD ",
)  # fmt: skip
ANSWERS = (
    b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nX: y\r\n\r\nabc",
    b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Hints\r\nA: b\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n",
    b"HTTP/1.0 302 Found\r\nLocation: /elsewhere\r\nConnection: close\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
)
REQUESTS = (
    *(
        b"GET /%s HTTP/1.1\r\nHost: localhost:80\r\nCookie: edgeinfer-token=a%%20b\r\nContent-Length: 0\r\n\r\n" % path
        for path in (b"?token=x", b"page.js", b"snapshot.jpg", b"healthz", b"metrics#a", b"//[::1]/x", b"stream.mjpg")
    ),
    b"HEAD http://h:1/ HTTP/1.0\r\nAuthorization: Bearer x\r\n\r\n",
    b"GET /events HTTP/1.1\r\nHost: [::1]:8000\r\nAccept: text/event-stream\r\nOrigin: null\r\n\r\n",
)


@dataclass(frozen=True, slots=True)
class Case:
    """One mutated input.

    Attributes:
        data: Content of the input.
        suffix: Suffix of a file with this content.
    """

    data: bytes
    suffix: str


@dataclass(frozen=True, slots=True)
class Seed:
    """A valid input that is mutated."""

    data: bytes
    suffix: str


def mutated_bytes(seeds: Sequence[Seed], rng: random.Random) -> Iterator[Case]:
    """Yield inputs with changed bytes, half of the changes within the header; the seeds in turn."""
    while True:
        for seed in seeds:
            yield Case(mutate(seed.data, rng), seed.suffix)


def mutated_text(seeds: Sequence[Seed], rng: random.Random, pieces: Sequence[bytes]) -> Iterator[Case]:
    """Yield inputs in which 1 to 6 spans are replaced by pieces, copies of other spans, random bytes or nothing."""
    while True:
        for seed in seeds:
            data = bytearray(seed.data)
            for _ in range(rng.choice((1, 1, 1, 2, 5))):
                start = rng.randrange(len(data) + 1)
                end = start + rng.choice((0, 1, rng.randint(0, 30)))
                other = rng.randrange(len(data) + 1)
                copy = bytes(data[other : other + rng.randint(1, 60)])
                data[start:end] = rng.choice((rng.choice(pieces), rng.choice(pieces), copy, rng.randbytes(2), b""))
            if rng.random() < 0.05:
                del data[rng.randrange(len(data) + 1) :]
            yield Case(bytes(data), seed.suffix)


def in_turn(suffix: str, *sequences: Iterator[Mutation]) -> Iterator[Case]:
    """Yield the mutations of several sequences in turn."""
    for round_of in zip(*sequences, strict=True):
        for mutation in round_of:
            yield Case(mutation.data, suffix)


def result_files(folder: Path, suffix: str) -> list[Seed]:
    """Return the output of a run with one picture, complete and truncated."""
    path, model = folder / f"seed{suffix}", write_model(folder / "seed.onnx")
    done = edgeinfer("run", FACE, "--detector", "none", "--model", model, "--quiet", "--out", path)
    assert done.returncode == 0, done.stderr
    lines = path.read_bytes().splitlines(keepends=True)
    data = b"".join([*lines[:2], SUMMARY] if suffix == ".jsonl" else lines)
    return [Seed(data, suffix), Seed(data[: len(data) * 2 // 3], suffix)]


def reported_files(folder: Path) -> list[Seed]:
    """Return a JSONL and a CSV result, and the list of a batch."""
    faces: list[Faces] = [[face("happy")], [face("sad"), face("unknown", 0.3, track=2)], []]
    csv = write_csv(folder / "seed.csv", steady(faces), empty_frames=True).read_bytes()
    table = write_batch_table(folder, ["a.mp4", "done", "truncated", 3, 0.3], ["b/c.mp4", "failed", "damaged"])
    lines = jsonl_lines(steady(faces), unknown_below=0.4)
    return [Seed("\n".join([*lines, ""]).encode(), ".jsonl"), Seed(csv, ".csv"), Seed(table.read_bytes(), ".batch")]


def pictures() -> list[Seed]:
    """Return a small picture in every format that this OpenCV writes."""
    face = cv2.imread(str(FACE))
    assert face is not None
    picture = cv2.resize(face, (96, 64))
    seeds = []
    for suffix in PICTURES:
        if cv2.haveImageWriter(f"x{suffix}"):
            seeds.append(Seed(cv2.imencode(suffix, picture)[1].tobytes(), suffix))
    return seeds


def clips(folder: Path) -> list[Seed]:
    """Return short clips in MP4, Matroska and AVI."""
    avi = folder / "seed.avi"
    writer = cv2.VideoWriter(str(avi), cv2.VideoWriter.fourcc(*"MJPG"), 10, (64, 48))
    for grey in range(8):
        writer.write(np.full((48, 64, 3), 20 * grey, np.uint8))
    writer.release()
    mkv = matroska([40 * number for number in range(12)], duration_ms=480, display_wh=(80, 48), roll_deg=90.0)
    mp4 = (ASSETS / "clip.mp4").read_bytes()
    return [Seed(mp4, ".mp4"), Seed(mkv, ".mkv"), Seed(avi.read_bytes(), ".avi")]


def models(seed: int) -> Iterator[Case]:
    """Yield mutations of a tiny model and of the bundled one."""
    sources = (model_bytes(), find_model(None).read_bytes())
    return in_turn(".onnx", *(mutations(data, seed=seed, count=sys.maxsize) for data in sources))


def cascades(seed: int) -> Iterator[Case]:
    """Yield mutations of Haar cascades and an LBP cascade."""
    texts = [find_cascade(f"haarcascade_{name}").read_text() for name in CASCADES] + [lbp_cascade()]
    return in_turn(".xml", *(cascade_mutations(text.encode(), seed=seed, count=sys.maxsize) for text in texts))


def secret_addresses(rng: random.Random) -> Iterator[Case]:
    """Yield JSON objects with an address and its secret words; every second address is mutated.

    Secrets of a mutated address are not listed, because a mutation may turn them into an ordinary part of the address.
    """
    while True:
        for address, secrets in addresses(rng, rng.choice(["rtsp", "http", "https", "mqtt", "x-cam"])):
            words = [word for secret in secrets for word in secret.words]
            yield Case(json.dumps({"address": address, "secrets": words}).encode(), ".json")
            characters = list(address)
            for _ in range(rng.randint(1, 5)):
                start = rng.randrange(len(characters) + 1)
                character = rng.choice((rng.choice(HOSTILE), chr(rng.randrange(0x3000)), "\udcff", "//", "%2"))
                characters[start : start + rng.randint(0, 3)] = [character] * rng.choice((0, 1, 1, 1, 500))
            yield Case(json.dumps({"address": "".join(characters), "secrets": []}).encode(), ".json")


def prior_files() -> list[Seed]:
    """Return files with a share for each label."""
    shares = {label: round(0.1 * number, 1) for number, label in enumerate(LABELS, 1)}
    return [Seed(json.dumps(shares).encode(), ".json"), Seed(json.dumps(shares, indent=2).encode(), ".json")]


CASES: dict[str, Callable[[random.Random, int, Path], Iterator[Case]]] = {
    "jsonl": lambda rng, _, folder: mutated_text(result_files(folder, ".jsonl"), rng, TEXT),
    "csv": lambda rng, _, folder: mutated_text(result_files(folder, ".csv"), rng, TEXT),
    "report": lambda rng, _, folder: mutated_text(reported_files(folder), rng, TEXT),
    "mjpeg": lambda rng, *_: mutated_bytes([Seed(b"".join(map(grey_jpeg, range(0, 250, 50))), ".mjpeg")], rng),
    "picture": lambda rng, *_: mutated_bytes(pictures(), rng),
    "clip": lambda rng, _, folder: mutated_bytes(clips(folder), rng),
    "model": lambda _rng, seed, _folder: models(seed),
    "cascade": lambda _rng, seed, _folder: cascades(seed),
    "prior": lambda rng, *_: mutated_text(prior_files(), rng, TEXT),
    "config": lambda rng, *_: mutated_text([Seed(CONFIG, ".toml")], rng, TEXT),
    "webhook": lambda rng, *_: mutated_text([Seed(data, ".http") for data in ANSWERS], rng, HTTP),
    "preview": lambda rng, *_: mutated_text([Seed(data, ".http") for data in REQUESTS], rng, HTTP),
    "address": lambda rng, *_: secret_addresses(rng),
}
"""Endless sequence of inputs for each target, from a random generator, a seed and a folder for temporary files."""


def cases(target: str, seed: int, folder: Path) -> Iterator[Case]:
    """Yield the inputs of a target; the same ones for the same seed."""
    return CASES[target](random.Random(f"{seed} {target}"), seed, folder)
