"""The endpoint of the example, called in this process; its limit on pixels and uvicorn in others."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import os
import socket
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from tools.patience import PATIENCE, until
from tools.programs import running

pytest.importorskip("fastapi", reason="fastapi is not installed")
httpx = pytest.importorskip("httpx", reason="httpx is not installed")


@pytest.fixture
def endpoint(examples: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The module of the example."""
    monkeypatch.setenv("OPENCV_IO_MAX_IMAGE_PIXELS", "")  # so that what the example sets is taken back
    spec = importlib.util.spec_from_file_location("fastapi_endpoint", examples / "fastapi_endpoint.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def post(app: Any, *bodies: bytes | AsyncIterator[bytes]) -> list[Any]:
    """Answers to requests that are all under way at once."""

    async def send() -> list[Any]:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://here") as client:
            return await asyncio.gather(*(client.post("/faces", content=body) for body in bodies))

    return asyncio.run(send())


def test_a_picture_is_answered_with_its_faces(endpoint: Any, face_picture: Path) -> None:
    (answer,) = post(endpoint.app, face_picture.read_bytes())
    assert answer.status_code == 200
    (face,) = answer.json()
    assert set(face) == {"box", "label", "confidence"}
    assert face["label"] == "happy"
    assert 0.5 < face["confidence"] <= 1
    left, top, wide, high = face["box"]
    assert 60 <= wide <= 160
    assert left < 128 < left + wide
    assert top < 110 < top + high


def test_a_picture_of_nobody(endpoint: Any) -> None:
    (answer,) = post(endpoint.app, np.asarray(cv2.imencode(".png", np.zeros((50, 60, 3), np.uint8))[1]).tobytes())
    assert (answer.status_code, answer.json()) == (200, [])


@pytest.mark.parametrize("body", [b"", b"no picture", b"\xff\xd8\xff\xe0 torn"], ids=["empty", "text", "torn"])
def test_what_is_no_picture_is_refused(endpoint: Any, body: bytes) -> None:
    (answer,) = post(endpoint.app, body)
    assert answer.status_code == 422
    assert answer.json()["detail"].startswith("the body is no picture")


def test_what_is_too_large_is_refused_before_it_is_all_there(endpoint: Any) -> None:
    sent = 0

    async def parts() -> AsyncIterator[bytes]:
        nonlocal sent
        for _ in range(1000):
            sent += 1_000_000
            yield bytes(1_000_000)

    (answer,) = post(endpoint.app, parts())
    assert answer.status_code == 413
    assert answer.json() == {"detail": "a picture has at most 10000000 bytes; send a smaller one"}
    assert sent == 11_000_000


def test_requests_wait_for_each_other(endpoint: Any, face_picture: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pipeline, inside, most, threads = endpoint.pipeline, 0, 0, set()

    def counted(image: Any) -> Any:
        nonlocal inside, most
        inside += 1
        most = max(most, inside)
        threads.add(threading.get_ident())
        result = pipeline(image)
        inside -= 1
        return result

    monkeypatch.setattr(endpoint, "pipeline", counted)
    answers = post(endpoint.app, *[face_picture.read_bytes()] * 8)
    assert [answer.status_code for answer in answers] == [200] * 8
    assert len({answer.text for answer in answers}) == 1
    assert most == 1
    assert threading.get_ident() not in threads


def test_a_small_file_with_a_huge_picture_is_refused(
    examples: Path, run: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    path = tmp_path / "huge.png"
    cv2.imwrite(str(path), np.zeros((6000, 5000), np.uint8))
    assert path.stat().st_size < 100_000
    code = f"import fastapi_endpoint as e; e.read(bytearray(open({str(path)!r}, 'rb').read()))"
    done = run("-c", code, PYTHONPATH=examples)
    assert done.stderr.splitlines()[-1].startswith("fastapi.exceptions.HTTPException: 422: the body is no picture of")


def test_under_uvicorn(face_picture: Path, examples: Path) -> None:
    pytest.importorskip("uvicorn", reason="uvicorn is not installed")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "uvicorn", "fastapi_endpoint:app", "--port", str(port)]
    with running(command, cwd=examples, env=dict(os.environ), stderr=subprocess.DEVNULL) as process:

        def ask() -> Any:
            request = urllib.request.Request(f"http://127.0.0.1:{port}/faces", face_picture.read_bytes())
            try:
                with urllib.request.urlopen(request, timeout=60 * PATIENCE) as answer:
                    return json.load(answer)
            except urllib.error.URLError:
                return None

        until(lambda: ask() or process.poll() is not None)
        assert [face["label"] for face in ask()] == ["happy"]
        process.terminate()
