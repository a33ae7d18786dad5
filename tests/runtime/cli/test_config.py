from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import pytest

from edgeinfer import UsageError
from edgeinfer.cli import config_file as config
from edgeinfer.cli.config_file import Setting, read_config, read_configs
from tools.cli import edgeinfer
from tools.mjpeg_server import MjpegServer
from tools.patience import PATIENCE
from tools.programs import running

SETTINGS = {
    "source": Setting("text", lambda _: None),
    "threads": Setting("whole number", lambda value: None if value > 0 else "it must be 1 or more"),
    "max_temp": Setting("number", lambda _: None),
    "quiet": Setting("boolean", lambda _: None),
    "out": Setting("list", lambda _: None),
}


def user_home(folder: Path) -> dict[str, str]:
    """Return the environment that makes a folder the home of config files."""
    return {"XDG_CONFIG_HOME": str(folder)}


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        pytest.param("thread = 2", "did you mean threads?", id="near-miss"),
        pytest.param("max-temp = 2", "did you mean max_temp?", id="dash"),
        pytest.param("[run]\nthreads = 2", "expected one of source, threads", id="table"),
        pytest.param('threads = "2"', 'threads must be an integer such as 2, not "2"', id="text-for-number"),
        pytest.param("threads = true", "threads must be an integer", id="true-is-not-1"),
        pytest.param("threads = 2.0", "threads must be an integer", id="no-fraction"),
        pytest.param("threads = 0", "threads = 0 is invalid: it must be 1 or more", id="out-of-range"),
        pytest.param("quiet = 1", "quiet must be true or false", id="1-is-not-true"),
        pytest.param("out = [1]", "out must be a list of strings", id="list-of-numbers"),
        pytest.param("source = 2020-01-01", "source must be a string", id="date"),
        pytest.param("source = [", "is not TOML: Invalid value (at end of document)", id="broken"),
        pytest.param("threads = 2\nthreads = 3\n", "(at line 2, column 12)", id="twice"),
    ],
)
def test_invalid_file_is_reported_with_its_path(tmp_path: Path, text: str, complaint: str) -> None:
    path = tmp_path / "c.toml"
    path.write_text(text)
    with pytest.raises(UsageError) as error:
        read_config(path, SETTINGS)
    assert str(error.value).startswith(str(path))
    assert complaint in str(error.value)


@pytest.mark.parametrize("content", [b"\xff\xfe", None], ids=["not-utf8", "folder"])
def test_unreadable_file_is_reported(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "c.toml"
    path.mkdir() if content is None else path.write_bytes(content)
    with pytest.raises(UsageError, match=r"c\.toml"):
        read_config(path, SETTINGS)


def test_user_file_overrides_the_system_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    system, user = tmp_path / "system.toml", tmp_path / "edgeinfer" / "config.toml"
    user.parent.mkdir()
    system.write_text('threads = 2\nout = "a.jsonl"')
    user.write_text("threads = 3\nsource = 0")
    monkeypatch.setattr(config, "SYSTEM_FILE", system)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    values, origins, found = read_configs(None, SETTINGS)
    assert values == {"threads": 3, "out": ["a.jsonl"], "source": 0}
    assert origins == {"threads": user, "out": system, "source": user}
    assert found == (system, user)
    assert read_configs(system, SETTINGS)[0]["threads"] == 2
    with pytest.raises(UsageError, match="does not exist"):
        read_configs(tmp_path / "none.toml", SETTINGS)


def test_formatted_settings_are_valid_toml_without_passwords(tmp_path: Path) -> None:
    rows = [
        ("source", "rtsp://me:secret@camera/live?key=secret", "default"),
        ("out", ('a "b"\\\x7fü\n.jsonl', "-"), ""),
        ("threads", None, "default"),
        ("max_temp", 70.5, ""),
        ("quiet", True, ""),
        ("preview_token", "secret", "command line"),
    ]
    shown = config.as_toml(rows)
    assert "secret" not in shown
    assert "# threads is not set  # default" in shown
    assert "# preview_token is set (hidden)  # command line" in shown
    assert tomllib.loads(shown) == {
        "source": "rtsp://camera/live", "out": ['a "b"\\\x7fü\n.jsonl', "-"], "max_temp": 70.5, "quiet": True,
    }  # fmt: skip


@pytest.mark.parametrize(
    "text", ['threads = "http://me:secret@["', 'preview_token = "secret"', 'preview_token = ["secret"]']
)
def test_error_about_a_value_contains_no_password(tmp_path: Path, text: str) -> None:
    (tmp_path / "c.toml").write_text(text)
    with pytest.raises(UsageError) as error:
        read_config(tmp_path / "c.toml", {**SETTINGS, "preview_token": Setting("text", lambda _: "no")})
    assert "secret" not in str(error.value)


@pytest.mark.parametrize(
    ("options", "environment", "frames", "origin"),
    [
        pytest.param([], {}, 4, "c.toml", id="file"),
        pytest.param([], {"EDGEINFER_MAX_FRAMES": "3"}, 3, "environment, EDGEINFER_MAX_FRAMES", id="environment"),
        pytest.param([], {"EDGEINFER_MAX_FRAMES": ""}, 4, "c.toml", id="empty-environment"),
        pytest.param(["--max-frames", "2"], {"EDGEINFER_MAX_FRAMES": "3"}, 2, None, id="command-line"),
    ],
)
def test_precedence_of_settings(
    tmp_path: Path, clip: Path, options: list[str], environment: dict[str, str], frames: int, origin: str | None
) -> None:
    path = tmp_path / "c.toml"
    path.write_text(f'source = "{clip}"\nout = ["-", "b.csv"]\nmax_frames = 4\nquiet = true')
    done = edgeinfer("run", "--config", path, *options, cwd=tmp_path, env=user_home(tmp_path) | environment)
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout.splitlines()[-1])["frames"] == frames
    assert (tmp_path / "b.csv").exists()
    if origin:
        shown = edgeinfer(
            "config", "show", "--origin", "--config", path, cwd=tmp_path, env=user_home(tmp_path) | environment
        ).stdout
        (line,) = (line for line in shown.splitlines() if line.startswith("max_frames"))
        assert line.startswith(f"max_frames = {frames}  # ")
        assert line.endswith(origin)


def test_environment_sets_several_outputs_and_the_source(tmp_path: Path, clip: Path) -> None:
    names = {"EDGEINFER_SOURCE": str(clip), "EDGEINFER_OUT": "a.jsonl b.csv"}
    done = edgeinfer("run", "--quiet", "--max-frames", "1", cwd=tmp_path, env=user_home(tmp_path) | names)
    assert (done.returncode, done.stderr) == (0, "")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.jsonl", "b.csv"]


@pytest.mark.parametrize("command", ["run", "check", "show"])
@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        pytest.param("detect_evry = 5", "did you mean detect_every?", id="unknown"),
        pytest.param('detect_every = "often"', "expected auto, or an integer of 1 or more", id="detect-every"),
        pytest.param('mode = "fast"', "'fast' is not one of 'auto', 'file', 'live'", id="choice"),
        pytest.param('detector = "dlib"', "expected one of haar, yunet, none", id="name"),
        pytest.param("threads = 0", "0 is not in the range x>=1", id="range"),
        pytest.param('out = "x.txt"', "unknown output format of x.txt", id="suffix"),
        pytest.param('model = "missing"', "no model at missing", id="model"),
        pytest.param('config = "other.toml"', "config is not an option of run", id="itself"),
    ],
)
def test_invalid_config_exits_with_2(tmp_path: Path, command: str, text: str, complaint: str) -> None:
    path = tmp_path / "edgeinfer" / "config.toml"
    path.parent.mkdir()
    path.write_text(text)
    done = edgeinfer(*(["run"] if command == "run" else ["config", command]), cwd=tmp_path, env=user_home(tmp_path))
    assert done.returncode == 2
    assert done.stderr.startswith(f"edgeinfer: {path}: {text.split(maxsplit=1)[0]} ")
    assert complaint in done.stderr
    assert done.stderr.count("\n") == 1
    assert done.stdout == ""


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        pytest.param("keep = 3", "no size or interval for splitting", id="keep-without-split"),
        pytest.param('out = ["x.csv", "x.csv"]', "two outputs have the same name", id="twins"),
        pytest.param('detector_model = "x.onnx"', "detector_model does not apply to", id="detector-model"),
    ],
)
def test_conflicting_settings_exit_with_2(tmp_path: Path, text: str, complaint: str) -> None:
    path = tmp_path / "c.toml"
    path.write_text(text)
    done = edgeinfer("config", "check", path, cwd=tmp_path, env=user_home(tmp_path))
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"edgeinfer: {path}: ")
    assert complaint in done.stderr


def test_valid_config_exits_with_0(tmp_path: Path) -> None:
    path = tmp_path / "c.toml"
    assert "no config file" in edgeinfer("config", "check", cwd=tmp_path, env=user_home(tmp_path)).stdout
    path.write_text("threads = 2")
    assert edgeinfer("config", "check", path, cwd=tmp_path, env=user_home(tmp_path)).stdout == f"{path} is valid\n"


def _wait_for(process: subprocess.Popen[str], path: Path, text: str, times: int = 1) -> None:
    deadline = time.monotonic() + 60 * PATIENCE
    while not path.exists() or path.read_text().count(text) < times:
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.02)


@pytest.mark.slow
def test_sighup_restarts_the_run_with_the_new_config(tmp_path: Path, clip: Path) -> None:
    path, errors = tmp_path / "c.toml", tmp_path / "errors"
    refused = {
        "threads = 0": f"{path}: threads = 0 is invalid: 0 is not in the range x>=1.",
        'detector_model = "x.onnx"': "--detector-model does not apply to the detector haar",
        "keep = 3": "no size or interval for splitting",
        'out = "a.jsonl"\nsave_video = "a.jsonl"': "two outputs have the same name",
    }
    with MjpegServer() as camera, errors.open("w") as err:
        path.write_text(f'source = "{camera.url}"\nout = "a.jsonl"\nquiet = true')
        command = [sys.executable, "-m", "edgeinfer", "run", "--config", str(path)]
        with running(command, stderr=err, cwd=tmp_path) as process:
            _wait_for(process, tmp_path / "a.jsonl", '"frame":5')
            for number, text in enumerate(refused, 1):
                path.write_text(text)
                process.send_signal(signal.SIGHUP)
                _wait_for(process, errors, "not reloaded, the run continues unchanged: ", number)
            camera.behaviour = "stall"  # the run sleeps until there is a frame
            path.write_text(f'source = "{camera.url}"\nout = ["a.jsonl", "b.jsonl"]\nquiet = true')
            process.send_signal(signal.SIGHUP)
            _wait_for(process, errors, "reloading: ")
            camera.behaviour = "play"
            _wait_for(process, tmp_path / "b.jsonl", '"frame":5')
            process.send_signal(signal.SIGTERM)
            assert process.wait(30 * PATIENCE) == 143
    lines = errors.read_text().splitlines()
    for line, reason in zip(lines, refused.values(), strict=False):
        assert reason in line
    assert len(lines) == len(refused) + 2
    kinds = {}
    for name in ("a.jsonl", "b.jsonl"):
        records = [json.loads(line) for line in (tmp_path / name).read_text().splitlines()]
        kinds[name] = [record["type"] for record in records if record["type"] in ("header", "summary")]
        assert len(records) >= 5
    assert kinds == {"a.jsonl": ["header", "summary"] * 2, "b.jsonl": ["header", "summary"]}
