"""Tests of the FastAPI example, in process; the pixel limit and uvicorn run in subprocesses."""

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
    """Return the module of the example."""
    monkeypatch.setenv("OPENCV_IO_MAX_IMAGE_PIXELS", "")  # makes pytest restore the variable, which the example sets
    spec = importlib.util.spec_from_file_location("fastapi_endpoint", examples / "fastapi_endpoint.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def post(app: Any, *bodies: bytes | AsyncIterator[bytes]) -> list[Any]:
    """Return the responses to concurrent requests."""

    async def send() -> list[Any]:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://test") as client:
            return await asyncio.gather(*(client.post("/faces", content=body) for body in bodies))

    return asyncio.run(send())


def test_response_contains_the_faces_of_an_image(endpoint: Any, face_picture: Path) -> None:
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


def test_page_uploads_to_the_endpoint(endpoint: Any) -> None:
    async def get() -> Any:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app=endpoint.app), base_url="http://test") as client:
            return await client.get("/")

    answer = asyncio.run(get())
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert '<input type="file"' in answer.text
    assert 'fetch("faces", {method: "POST"' in answer.text


def test_image_without_a_face_returns_an_empty_list(endpoint: Any) -> None:
    (answer,) = post(endpoint.app, np.asarray(cv2.imencode(".png", np.zeros((50, 60, 3), np.uint8))[1]).tobytes())
    assert (answer.status_code, answer.json()) == (200, [])


@pytest.mark.parametrize(
    "body", [b"", b"not an image", b"\xff\xd8\xff\xe0 truncated"], ids=["empty", "text", "truncated"]
)
def test_invalid_image_is_rejected(endpoint: Any, body: bytes) -> None:
    (answer,) = post(endpoint.app, body)
    assert answer.status_code == 422
    assert answer.json()["detail"].startswith("the body is not an image")


def test_oversized_request_is_rejected_before_it_is_complete(endpoint: Any) -> None:
    sent = 0

    async def chunks() -> AsyncIterator[bytes]:
        nonlocal sent
        for _ in range(1000):
            sent += 1_000_000
            yield bytes(1_000_000)

    (answer,) = post(endpoint.app, chunks())
    assert answer.status_code == 413
    assert answer.json() == {"detail": "the image exceeds 10000000 bytes; send a smaller one"}
    assert sent == 11_000_000


def test_requests_use_the_pipeline_one_at_a_time(
    endpoint: Any, face_picture: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipeline, active, max_active, threads = endpoint.pipeline, 0, 0, set()

    def count_calls(image: Any) -> Any:
        nonlocal active, max_active
        active += 1
        max_active = max(max_active, active)
        threads.add(threading.get_ident())
        result = pipeline(image)
        active -= 1
        return result

    monkeypatch.setattr(endpoint, "pipeline", count_calls)
    answers = post(endpoint.app, *[face_picture.read_bytes()] * 8)
    assert [answer.status_code for answer in answers] == [200] * 8
    assert len({answer.text for answer in answers}) == 1
    assert max_active == 1
    assert threading.get_ident() not in threads


def test_small_file_with_too_many_pixels_is_rejected(
    examples: Path, run: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    path = tmp_path / "huge.png"
    cv2.imwrite(str(path), np.zeros((6000, 5000), np.uint8))
    assert path.stat().st_size < 100_000
    code = f"import fastapi_endpoint as e; e.read(bytearray(open({str(path)!r}, 'rb').read()))"
    done = run("-c", code, PYTHONPATH=examples)
    assert done.stderr.splitlines()[-1].startswith("fastapi.exceptions.HTTPException: 422: the body is not an image of")


def test_endpoint_runs_under_uvicorn(face_picture: Path, examples: Path) -> None:
    pytest.importorskip("uvicorn", reason="uvicorn is not installed")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "uvicorn", "fastapi_endpoint:app", "--port", str(port)]
    with running(command, cwd=examples, env=dict(os.environ), stderr=subprocess.DEVNULL) as process:

        def request_faces() -> Any:
            request = urllib.request.Request(f"http://127.0.0.1:{port}/faces", face_picture.read_bytes())
            try:
                with urllib.request.urlopen(request, timeout=60 * PATIENCE) as answer:
                    return json.load(answer)
            except urllib.error.URLError:
                return None

        until(lambda: request_faces() or process.poll() is not None)
        assert [face["label"] for face in request_faces()] == ["happy"]
        process.terminate()
