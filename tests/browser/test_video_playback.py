"""Annotated copies and subtitles played by Chromium."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import cv2
import pytest

from tools.cli import edgeinfer
from tools.matroska import matroska
from tools.patience import until

pytest.importorskip("av", reason="PyAV is not installed")


@pytest.mark.parametrize("suffix", [".mp4", ".webm"])
def test_annotated_copy_is_played(browser: Any, tmp_path: Path, clip: Path, suffix: str) -> None:
    copy = tmp_path / f"copy{suffix}"
    done = edgeinfer("run", clip, "--save-video", copy, "--quiet")
    assert (done.returncode, done.stderr) == (0, "")
    browser.get(copy.as_uri())

    def state(name: str) -> Any:
        return browser.execute_script(f"return document.querySelector('video').{name}")

    browser.execute_script("const video = document.querySelector('video'); video.muted = true; video.play()")
    until(lambda: state("currentTime") > 0.5)
    assert state("error") is None
    assert (state("videoWidth"), state("videoHeight")) == (320, 240)
    source = cv2.VideoCapture(str(clip))
    duration_s = source.get(cv2.CAP_PROP_FRAME_COUNT) / source.get(cv2.CAP_PROP_FPS)
    assert state("duration") == pytest.approx(duration_s, abs=0.05)
    browser.execute_script("document.querySelector('video').currentTime = 0.2")
    until(lambda: not state("seeking"))
    until(lambda: state("ended"))


def test_copy_that_begins_after_zero_is_played_from_its_beginning(browser: Any, tmp_path: Path) -> None:
    source, copy = tmp_path / "source.mkv", tmp_path / "copy.mp4"
    source.write_bytes(matroska([3_600_000 + 40 * number for number in range(25)]))
    assert edgeinfer("run", source, "--detector", "none", "--save-video", copy, "--quiet").returncode == 0
    browser.get(copy.as_uri())
    browser.execute_script("const video = document.querySelector('video'); video.muted = true; video.play()")
    until(lambda: browser.execute_script("return document.querySelector('video').currentTime") > 3600.5, 10)


class QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """Serve a folder, because pages of files may not load subtitles."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(QuietHandler, directory=folder)) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def test_subtitles_are_shown_over_the_original(browser: Any, tmp_path: Path, clip: Path) -> None:
    outputs = ("--save-video", tmp_path / "copy.mp4", "--out", tmp_path / "faces.vtt")
    assert edgeinfer("run", clip, *outputs, "--quiet").returncode == 0
    (tmp_path / "page.html").write_text(
        '<video src="copy.mp4" width="640" muted><track default src="faces.vtt"></track></video>'
    )
    with served(tmp_path) as address:
        browser.get(f"{address}/page.html")

        def state(value: str) -> Any:
            return browser.execute_script(f"const video = document.querySelector('video'); return {value}")

        until(lambda: state("video.textTracks[0].cues?.length") == 1)
        browser.execute_script("document.querySelector('video').play()")
        until(lambda: state("video.textTracks[0].activeCues.length") == 1)
        assert state("video.textTracks[0].activeCues[0].getCueAsHTML().textContent") == "#1 happy"
        assert state("video.error") is None
        until(lambda: state("video.ended"))
