"""Calls that differ between systems, and a run without the modules that Windows lacks."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from edgeinfer.system import portable

WINDOWS = """
import ctypes, os, select, signal, socket, subprocess, sys, types

import cv2, numpy, onnxruntime, typer, typer.main, uuid, urllib.request, multiprocessing.connection, zoneinfo

# Only POSIX requires a non-blocking descriptor.
set_blocking, set_wakeup_fd = os.set_blocking, signal.set_wakeup_fd
signal.set_wakeup_fd = lambda fd, **options: (fd < 0 or set_blocking(fd, False), set_wakeup_fd(fd, **options))[1]
for name in ("fcntl", "pwd", "grp", "resource", "termios", "posix"):
    sys.modules[name] = None
for module, names in {
    os: "O_NONBLOCK O_DIRECTORY O_CLOEXEC O_NOCTTY pread pwrite set_blocking getuid geteuid getloadavg",
    signal: "SIGHUP SIGKILL pthread_sigmask SIG_BLOCK SIG_SETMASK",
    select: "poll POLLIN POLLOUT PIPE_BUF",
    socket: "AF_UNIX",
}.items():
    for name in names.split():
        delattr(module, name)
locked = []
sys.modules["msvcrt"] = types.SimpleNamespace(LK_NBLCK=2, locking=lambda *lock: locked.append(lock))
os.O_BINARY, signal.SIGBREAK, sys.platform = 0, signal.SIGTERM, "win32"

from edgeinfer.__main__ import main

try:
    main()
finally:
    assert locked or "--out" not in sys.argv
"""


def run_as_windows(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", WINDOWS, *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_run_needs_no_posix_module(tmp_path: Path, clip: Path) -> None:
    outputs = ("--out", "faces.csv", "--out", "faces.jsonl", "--save-video", "copy.mp4", "--snapshots", "shots")
    done = run_as_windows("run", str(clip), *outputs, "--max-frames", "10", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert len((tmp_path / "faces.jsonl").read_text().splitlines()) == 12
    assert (tmp_path / "copy.mp4").stat().st_size > 0


def test_service_is_refused_without_systemd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    done = run_as_windows("service", "install", folder=tmp_path)
    assert done.returncode == 3
    assert "the service requires systemd" in done.stderr


def test_positional_access_does_not_need_pread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "win32")
    descriptor = os.open(tmp_path / "x", os.O_RDWR | os.O_CREAT)
    try:
        assert portable.write_at(descriptor, memoryview(b"abcdef"), 2) == 6
        assert portable.read_at(descriptor, 3, 4) == b"cde"
        assert portable.read_at(descriptor, 9, 0) == b"\0\0abcdef"
    finally:
        os.close(descriptor)


def test_file_and_folder_are_synchronized(tmp_path: Path) -> None:
    (tmp_path / "x").touch()
    portable.sync_file(tmp_path / "x")
    portable.sync_folder(tmp_path)
    with pytest.raises(FileNotFoundError):
        portable.sync_file(tmp_path / "missing")


def test_memory_and_switches_are_measured() -> None:
    assert portable.peak_resident_bytes() > 2**20
    assert portable.involuntary_switches() >= 0
