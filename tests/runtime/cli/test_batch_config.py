from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from tools.cli import Completed, edgeinfer, error_of

SETTINGS = """\
unknown_below = 0.2
webhook = "http://127.0.0.1:1/hook"
out = "run.csv"
source = "0"
max_frames = 9

[batch]
source = ["in"]
out = "results"
format = ["csv", "jsonl"]
"""


@pytest.fixture
def home(tmp_path: Path, clip: Path) -> Path:
    """Working folder with a clip in `in` and settings in the user's file."""
    (tmp_path / "in").mkdir()
    (tmp_path / "in/1.mp4").symlink_to(clip)
    (tmp_path / "edgeinfer").mkdir()
    (tmp_path / "edgeinfer/config.toml").write_text(SETTINGS)
    return tmp_path


def call(home: Path, *arguments: str, **environment: str) -> Completed:
    return edgeinfer(*arguments, cwd=home, env={"XDG_CONFIG_HOME": str(home)} | environment)


def dry_run(home: Path, *arguments: str, **environment: str) -> str:
    done = call(home, "batch", *arguments, "--dry-run", **environment)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.splitlines()[0]


def shown(home: Path, *arguments: str, **environment: str) -> tuple[dict[str, object], str]:
    """Return the settings that `config show` prints, and their text."""
    text = call(home, "config", "show", *arguments, **environment).stdout
    return tomllib.loads(text), text


def test_table_sets_the_options_of_batch(home: Path) -> None:
    assert dry_run(home) == "1.mp4 -> results/1.csv, results/1.jsonl"


@pytest.mark.parametrize(
    ("arguments", "environment", "expected"),
    [
        pytest.param(["--out", "o"], {}, "1.mp4 -> o/1.csv, o/1.jsonl", id="command-line"),
        pytest.param([], {"EDGEINFER_BATCH_OUT": "o"}, "1.mp4 -> o/1.csv, o/1.jsonl", id="variable"),
        pytest.param(["--out", "p"], {"EDGEINFER_BATCH_OUT": "o"}, "1.mp4 -> p/1.csv, p/1.jsonl", id="both"),
        pytest.param([], {"EDGEINFER_OUT": "o", "EDGEINFER_SOURCE": "x"}, "1.mp4 -> results/1.csv, results/1.jsonl",
                     id="variables-of-run"),
        pytest.param([], {"EDGEINFER_BATCH_SOURCE": "in x.mp4", "EDGEINFER_BATCH_FORMAT": "jsonl"},
                     "1.mp4 -> results/1.jsonl", id="lists"),
        pytest.param(["in/1.mp4", "--format", "jsonl"], {}, "1.mp4 -> results/1.jsonl", id="arguments"),
    ],
)  # fmt: skip
def test_precedence_of_settings(home: Path, arguments: list[str], environment: dict[str, str], expected: str) -> None:
    assert dry_run(home, *arguments, **environment) == expected


def test_options_without_files_or_variables_are_required(home: Path) -> None:
    (home / "none.toml").touch()
    assert "no source given" in error_of(call(home, "batch", "--config", "none.toml"), 2)


def test_shown_settings_are_valid_and_separate_for_both_commands(home: Path) -> None:
    settings, text = shown(home, "--origin", EDGEINFER_BATCH_WORKERS="3", EDGEINFER_FLIP="1")
    table = settings["batch"]
    assert isinstance(table, dict)
    assert (settings["out"], settings["source"], settings["max_frames"]) == (["run.csv"], "0", 9)
    assert settings["flip"] is True
    assert (table["out"], table["source"], table["format"]) == ("results", ["in"], ["csv", "jsonl"])
    assert not {"max_frames", "unknown_below", "webhook", "flip"} & set(table)
    assert 'workers = "3"  # environment, EDGEINFER_BATCH_WORKERS' in text
    assert "flip = true  # environment, EDGEINFER_FLIP" in text
    assert f'out = "results"  # {home}/edgeinfer/config.toml' in text
    assert "# max_frames is not set  # default" in text


def test_table_overrides_shared_settings_for_batch_only(home: Path) -> None:
    (home / "c.toml").write_text("unknown_below = 0.2\n[batch]\nunknown_below = 0.5\nmax_frames = 3")
    settings, _ = shown(home, "--config", "c.toml")
    table = settings["batch"]
    assert isinstance(table, dict)
    assert (settings["unknown_below"], table["unknown_below"], table["max_frames"]) == (0.2, 0.5, 3)
    assert "max_frames" not in settings


def test_later_file_replaces_single_keys_of_the_table(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    system = home / "system.toml"
    system.write_text('[batch]\nout = "system"\nworkers = "2"')
    monkeypatch.setattr("edgeinfer.cli.config_file.SYSTEM_FILE", system)
    table = shown(home)[0]["batch"]
    assert isinstance(table, dict)
    assert (table["out"], table["workers"]) == ("results", "2")


@pytest.mark.parametrize("command", [["run"], ["batch", "in", "--out", "o"], ["config", "check"], ["config", "show"]])
@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        pytest.param("[batch]\nouts = 'x'", "outs is not an option of batch; did you mean out?", id="unknown"),
        pytest.param("[batch]\nwebhook = 'http://x'", "webhook is not an option of batch", id="option-of-run"),
        pytest.param("workers = '2'", "workers is not an option of run; write it below [batch]", id="outside"),
        pytest.param("[batch]\nworkers = 'many'", 'workers = "many" is invalid: invalid number of workers', id="value"),
        pytest.param("[batch]\nformat = ['xml']", "'xml' is not one of 'csv', 'jsonl', 'parquet'", id="choice"),
        pytest.param("[batch]\nsource = 5", "source must be a list of strings", id="type"),
        pytest.param("[batch.out]\nx = 1", "out must be a string", id="nested"),
        pytest.param("batch = 5", "batch is not an option of run", id="not-a-table"),
        pytest.param("[other]", "other is not an option of run", id="other-table"),
    ],
)
def test_invalid_table_exits_with_2(home: Path, command: list[str], text: str, complaint: str) -> None:
    (home / "edgeinfer/config.toml").write_text(text)
    error = error_of(call(home, *command), 2)
    assert error.startswith(f"edgeinfer: {home}/edgeinfer/config.toml: ")
    assert complaint in error


def test_conflicting_settings_of_the_table_are_found_by_check(home: Path) -> None:
    (home / "c.toml").write_text("[batch]\ndetector_model = 'x.onnx'")
    assert "detector_model" in error_of(call(home, "config", "check", "c.toml"), 2)
    (home / "c.toml").write_text("[batch]\nworkers = '2'")
    assert call(home, "config", "check", "c.toml").stdout == "c.toml is valid\n"


def test_run_ignores_the_table(home: Path, clip: Path) -> None:
    (home / "c.toml").write_text(
        f'source = "{clip}"\nmax_frames = 1\nout = "a.jsonl"\nquiet = true\n[batch]\nout = "b"'
    )
    assert call(home, "run", "--config", "c.toml", "--detector", "none").returncode == 0
    assert (home / "a.jsonl").exists()
    assert not (home / "b").exists()
