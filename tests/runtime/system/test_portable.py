"""Calls that differ between systems, and runs without what Windows and macOS lack."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import cv2
import pytest

from edgeinfer.batch.state import BatchState
from edgeinfer.errors import OutputError
from edgeinfer.results import Image
from edgeinfer.system import portable
from tools.patience import until
from tools.programs import running

WINDOWS = """
import ctypes, multiprocessing.resource_tracker, multiprocessing.spawn, os, select, signal, socket, subprocess, sys
import functools, types

import cv2, numpy, onnxruntime, typer, typer.main, uuid, urllib.request, multiprocessing.connection, zoneinfo

class Posix(types.ModuleType):
    platform = "linux"
    __getattr__ = staticmethod(lambda name: getattr(sys, name))
    __setattr__ = lambda _, name, value: setattr(sys, name, value)

def refuse(event, arguments):
    if event == "open" and str(arguments[0]).startswith(("/proc", "/sys", "/dev/video")):
        raise FileNotFoundError(2, "no such file", arguments[0])
    if event in ("os.rename", "os.remove"):  # Windows renames and removes no open file
        names = {os.path.abspath(name) for name in arguments[: 2 if event == "os.rename" else 1]}
        used = [number for number in os.listdir("/proc/self/fd") if link(number) in names]
        if used:
            raise PermissionError(13, f"{event} of an open file", str(arguments[0]))

def link(number):
    try:
        return os.readlink(f"/proc/self/fd/{number}")
    except OSError:
        return ""

# The interpreter of this test starts processes as on POSIX.
multiprocessing.spawn.sys = Posix("sys")
multiprocessing.resource_tracker._HAVE_SIGMASK = False
socket.socketpair = functools.partial(socket.socketpair, socket.AF_UNIX)
# Only POSIX requires a non-blocking descriptor.
set_blocking, set_wakeup_fd = os.set_blocking, signal.set_wakeup_fd
signal.set_wakeup_fd = lambda fd, **options: (fd < 0 or set_blocking(fd, False), set_wakeup_fd(fd, **options))[1]
for name in ("fcntl", "pwd", "grp", "resource", "termios", "posix"):
    sys.modules[name] = None
for module, names in {
    os: "O_NONBLOCK O_DIRECTORY O_CLOEXEC O_NOCTTY pread pwrite set_blocking getuid geteuid getloadavg "
    "sched_getaffinity",
    signal: "SIGHUP pthread_sigmask SIG_BLOCK SIG_SETMASK",
    select: "poll POLLIN POLLOUT PIPE_BUF",
    socket: "AF_UNIX",
}.items():
    for name in names.split():
        delattr(module, name)
sys.modules["msvcrt"] = types.SimpleNamespace(LK_NBLCK=2, locking=lambda *lock: None)
os.O_BINARY, signal.SIGBREAK, sys.platform = 0, signal.SIGTERM, "win32"
sys.addaudithook(refuse)
"""
"""Start of each process of a simulated Windows, except that paths are those of POSIX."""

MACOS = """
import os, resource, select, signal, socket, sys, types

stat = os.stat

def refuse(event, arguments):
    if event in ("open", "os.listdir", "os.scandir") and str(arguments[0]).startswith(("/proc", "/sys", "/dev/video")):
        raise FileNotFoundError(2, "no such file", arguments[0])

def visible_stat(path, **options):
    refuse("open", (path,))
    return stat(path, **options)

for module, prefixes in {
    os: "sched_ pidfd_ eventfd memfd_ posix_f fdatasync getxattr setxattr listxattr removexattr pipe2 splice getrandom "
    "copy_file_range getresuid setresuid O_TMPFILE O_PATH O_NOATIME",
    resource: "prlimit RUSAGE_THREAD",
    select: "epoll EPOLL",
    signal: "sigtimedwait sigwaitinfo SIGRT SIGPWR SIGPOLL SIGCLD",
    socket: "SOCK_CLOEXEC SOCK_NONBLOCK AF_NETLINK AF_PACKET AF_VSOCK",
}.items():
    for name in [name for name in vars(module) if name.startswith(tuple(prefixes.split()))]:
        delattr(module, name)
sys.modules["_scproxy"] = types.SimpleNamespace(_get_proxies=dict, _get_proxy_settings=dict)
os.stat, sys.platform = visible_stat, "darwin"
sys.addaudithook(refuse)
"""
"""Start of each process of a simulated macOS: without the calls and folders that only Linux has."""


@pytest.fixture(params=[WINDOWS, MACOS], ids=["windows", "macos"])
def system(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Empty folder, and an environment whose Python processes behave as on Windows or macOS, with an old console."""
    start = tmp_path / "start"
    start.mkdir()
    (start / "sitecustomize.py").write_text(request.param)
    monkeypatch.setenv("PYTHONPATH", str(start))
    monkeypatch.setenv("PYTHONIOENCODING", "cp1252")
    monkeypatch.setenv("PYTHONUTF8", "0")
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path / "work"


def run_command(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "edgeinfer", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, encoding="cp1252", check=False)


@pytest.mark.slow
def test_run_needs_nothing_of_linux(system: Path) -> None:
    outputs = ("--out", "faces.csv", "--out", "faces.jsonl", "--save-video", "copy.mp4", "--snapshots", "shots")
    done = run_command("run", "demo", *outputs, "--max-frames", "10")
    assert done.returncode == 0, done.stderr
    assert len((system / "faces.jsonl").read_text().splitlines()) == 12
    assert (system / "copy.mp4").stat().st_size > 0


@pytest.mark.slow
def test_batch_renames_no_open_file_and_prints_any_name(system: Path, portrait: Image) -> None:
    for name in ("one.png", "学.png"):
        (system / name).write_bytes(cv2.imencode(".png", portrait)[1].tobytes())
    for _ in range(2):  # the second call replaces the tables of the first
        done = run_command("batch", ".", "--out", "results", "--per-picture", "--workers", "1", "--fresh")
        assert done.returncode == 0, done.stderr
    assert len((system / "results" / "batch.csv").read_text(encoding="utf-8").splitlines()) == 3
    listed = run_command("batch", ".", "--out", "results", "--per-picture", "--dry-run")
    assert listed.returncode == 0, listed.stderr
    assert "one.png -> " in listed.stdout


def test_batch_names_the_remedy_for_a_table_that_a_spreadsheet_has_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(partial: Path, final: Path) -> None:
        raise PermissionError(13, "Access is denied", str(final))

    with BatchState(tmp_path, settings_key="x", formats=("csv",)) as state:
        state.pending([])
        monkeypatch.setattr(Path, "replace", refuse)
        monkeypatch.setattr(sys, "platform", "win32")
        with pytest.raises(OutputError, match="Access is denied; close the programs that have its files open"):
            state.write_table(force=True)
        monkeypatch.undo()


@pytest.mark.slow
@pytest.mark.parametrize("system", [WINDOWS], ids=["windows"], indirect=True)
def test_ctrl_break_ends_a_run_with_readable_results(system: Path) -> None:
    """SIGTERM stands for SIGBREAK."""
    command = [sys.executable, "-m", "edgeinfer", "run", "--mode", "live", "--out", "faces.jsonl"]
    results = system / "faces.jsonl"
    with running(command, stderr=subprocess.PIPE) as process:
        until(lambda: results.is_file() and results.read_bytes().count(b"\n") > 3)
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 143, process.stderr and process.stderr.read()
    assert json.loads(results.read_text().splitlines()[-1])["type"] == "summary"


@pytest.mark.slow
def test_machine_is_described_without_system_files(system: Path) -> None:
    done = run_command("doctor", "--json")
    assert done.returncode == 0, done.stderr
    found = {finding["name"]: finding["detail"] for finding in json.loads(done.stdout)}
    assert "edgeinfer run 0" in found["cameras"]
    assert found["thermal"] == "no temperature sensor"


def test_service_is_refused_without_systemd(system: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    done = run_command("service", "install")
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
