"""HTTP API of the preview: state, events of every frame, and its OpenAPI description."""

from __future__ import annotations

import http.client
import json
import re
import socket
import time
from collections.abc import Iterator
from importlib import resources
from typing import Any

import numpy as np
import pytest

from edgeinfer import EmotionClassifier, Frame, Result, SourceState
from edgeinfer.outputs.preview.followers import MAX_LAG_FRAMES, frame_object
from edgeinfer.outputs.preview.server import MAX_STREAMS, PAGE, _RequestHandler
from edgeinfer.outputs.preview.sink import PreviewSink
from tools.patience import until
from tools.preview_run import LIGHT, TIMEOUT_S, PreviewRun, next_event, port_of, request
from tools.sink_driver import HEADER


@pytest.fixture
def preview(classifier: EmotionClassifier) -> Iterator[PreviewRun]:
    with PreviewRun(classifier) as preview:
        yield preview


@pytest.fixture
def document(preview: PreviewRun) -> Any:
    return json.loads(preview.get("/api/openapi.json")[1])


def check_schema(document: Any, name: str, value: Any) -> None:
    """Validate a value against a schema of the document."""
    jsonschema = pytest.importorskip("jsonschema", reason="jsonschema is not installed")
    schema = {"$ref": f"#/components/schemas/{name}", "components": document["components"]}
    jsonschema.Draft202012Validator(schema).validate(value)


def followers(preview: PreviewRun) -> int:
    return len(preview.sink._state._followers)


def test_state_has_the_documented_form(preview: PreviewRun, document: Any) -> None:
    state = json.loads(preview.get("/api/state")[1])
    check_schema(document, "State", state)
    frame, status = state["frame"], state["status"]
    assert (frame["type"], frame["frame"], frame["size"]) == ("frame", 0, [80, 60])
    assert [(face["track"], face["box"], face["label"]) for face in frame["faces"]] == [(1, [10, 10, 20, 20], "happy")]
    assert (status["source"], status["state"], status["frames"]) == ("fake", "live", 1)
    assert status["colours"]["happy"] == "#f0e442"
    assert set(document["components"]["schemas"]["Status"]["required"]) == set(status)


def test_state_before_the_first_frame_has_no_frame() -> None:
    with PreviewSink("0") as sink, request(port_of(sink), "/api/state") as response:
        state = json.loads(response.read())
    assert (response.status, state["frame"], state["status"]["frames"]) == (200, None, 0)


def test_description_lists_every_path_of_the_api(document: Any) -> None:
    served = {path for path in (*PAGE, *_RequestHandler.routes) if path.startswith("/api/")}
    assert set(document["paths"]) == served
    assert document["openapi"] == "3.1.0"
    text = json.dumps(document)
    assert f"more than {MAX_LAG_FRAMES} frames" in text
    assert f"accepts: {MAX_STREAMS}." in text
    names = set(re.findall(r'"\$ref": "#/components/([^"]+)"', text))
    assert all(document["components"][kind][name] for kind, name in (path.split("/") for path in names))


def test_frames_have_the_fields_of_jsonl(document: Any) -> None:
    text = (resources.files("edgeinfer") / "assets" / "results.schema.json").read_text(encoding="utf-8")
    jsonl, schemas = json.loads(text)["$defs"], document["components"]["schemas"]
    assert set(schemas["Frame"]["properties"]) == {*jsonl["frame"]["properties"], "size"}
    assert set(schemas["Face"]["properties"]) == set(jsonl["face"]["properties"])


def test_size_of_a_reduced_picture_is_that_of_its_boxes() -> None:
    frame = Frame(LIGHT, 0, 0.0, picture="a.jpg", full_size_wh=(800, 600))
    line = frame_object(frame, Result((), 0.0))
    assert (line["picture"], line["size"]) == ("a.jpg", [800, 600])


def test_every_frame_is_one_event(preview: PreviewRun, document: Any) -> None:
    with preview.request("/api/events") as response:
        assert response.headers.get_content_type() == "text/event-stream"
        assert next_event(response, "frame")["frame"] == 0
        preview.source.put(*[LIGHT] * (MAX_LAG_FRAMES - 1))
        frames = [next_event(response, "frame") for _ in range(MAX_LAG_FRAMES - 1)]
        assert [frame["frame"] for frame in frames] == list(range(1, MAX_LAG_FRAMES))
        check_schema(document, "Frame", frames[-1])
        preview.source.end()
        assert next_event(response, "end") == {"detail": "The run has ended; waiting for the next run."}
        assert response.read() == b"\n"


def test_status_follows_the_source_and_is_the_heartbeat(
    preview: PreviewRun, document: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with preview.request("/api/events") as response:
        status = next_event(response, "status")
        check_schema(document, "Status", status)
        preview.sink.source_state(SourceState("stalled", 1.0, "no frame"))
        status = next_event(response, "status")
        assert (status["state"], status["detail"]) == ("stalled", "no frame")
        monkeypatch.setattr("edgeinfer.outputs.preview.streams.HEARTBEAT_S", 0.05)
        preview.sink.source_state(SourceState("live", 2.0, ""))
        assert [next_event(response, "status")["state"] for _ in range(3)] == ["live"] * 3


def test_stalled_client_continues_at_the_newest_frame_without_slowing_the_run(
    preview: PreviewRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edgeinfer.outputs.preview.server.SEND_BUFFER_BYTES", 4096)
    with socket.create_connection(("127.0.0.1", preview.port), timeout=TIMEOUT_S) as stalled:
        stalled.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        stalled.sendall(b"GET /api/events HTTP/1.0\r\nHost: localhost\r\n\r\n")
        until(lambda: followers(preview) == 1)
        with preview.request("/api/events") as other:
            until(lambda: followers(preview) == 2)
            for number in range(1, 251):
                preview.source.put(LIGHT)
                assert next_event(other, "frame")["frame"] == number - 1  # the other client receives every frame
        until(lambda: preview.source.processed == 251)
        received = b""
        while b'"frame":250,' not in received:
            received += (chunk := stalled.recv(65536))
            assert chunk
    frames = [json.loads(data)["frame"] for data in re.findall(rb"^event: frame\ndata: (.*)$", received, re.MULTILINE)]
    assert frames == sorted(frames)
    assert len(frames) < 251


def test_client_that_never_reads_is_disconnected(preview: PreviewRun, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgeinfer.outputs.preview.server._RequestHandler.timeout", 0.2)
    monkeypatch.setattr("edgeinfer.outputs.preview.server.SEND_BUFFER_BYTES", 4096)
    with socket.create_connection(("127.0.0.1", preview.port), timeout=TIMEOUT_S) as stalled:
        stalled.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        stalled.sendall(b"GET /api/events HTTP/1.0\r\nHost: localhost\r\n\r\n")
        until(lambda: followers(preview) == 1)

        def is_disconnected() -> bool:
            preview.source.put(*[LIGHT] * 20)
            until(preview.source.is_drained)
            time.sleep(0.01)
            return followers(preview) == 0

        until(is_disconnected)
    assert preview.get("/api/state")[0] == 200


def test_disconnected_client_frees_its_place(preview: PreviewRun) -> None:
    responses = [preview.request("/api/events") for _ in range(MAX_STREAMS)]
    for response in responses:
        next_event(response, "frame")
    status, body = preview.get("/api/events")
    assert (status, body) == (503, b"the limit of 16 streams is reached; try again later\n")
    for response in responses:
        response.close()

    def is_free() -> bool:
        preview.source.put(LIGHT)
        return followers(preview) == 0

    until(is_free)
    with preview.request("/api/events") as response:
        assert response.status == 200


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"])
def test_only_get_and_head_are_allowed(preview: PreviewRun, method: str) -> None:
    with preview.request("/api/state", method, Origin="http://evil.example") as response:
        assert (response.status, response.headers["Allow"]) == (405, "GET, HEAD")
        assert "Access-Control-Allow-Origin" not in response.headers


@pytest.mark.parametrize("path", ["/api", "/api/", "/api/state/", "/api/nothing", "/overlay/", "/API/state"])
def test_unknown_path_is_not_found(preview: PreviewRun, path: str) -> None:
    assert preview.get(path) == (404, b"not found\n")


def test_unknown_method_is_not_implemented(preview: PreviewRun) -> None:
    client = http.client.HTTPConnection("127.0.0.1", preview.port, timeout=TIMEOUT_S)
    client.request("BREW", "/api/state")
    with client.getresponse() as response:
        assert response.status == 501


def test_pages_of_other_origins_cannot_read_a_response(preview: PreviewRun) -> None:
    for path in ("/api/state", "/overlay", "/elsewhere"):
        with preview.request(path, Origin="http://evil.example") as response:
            assert not [name for name in response.headers if name.lower().startswith("access-control")]
            assert response.headers["Cross-Origin-Resource-Policy"] == "same-origin"


def test_source_name_that_is_not_utf_8_is_valid_json() -> None:
    with PreviewSink("0") as sink:
        sink.start(type(HEADER)("caf\udce9.mp4", None, ("happy",), "tiny", "", {}), lambda: None)  # type: ignore[arg-type, return-value]
        sink.write(Frame(np.zeros((4, 4, 3), np.uint8), 0, 0.0, picture="caf\udce9.jpg"), Result((), 0.0))
        with request(port_of(sink), "/api/state") as response:
            state = json.loads(response.read().decode())
    assert (state["status"]["source"], state["frame"]["picture"]) == ("caf\\xe9.mp4", "caf\\xe9.jpg")
