from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgeinfer.system.interrupts import Interrupted
from edgeinfer_train.config import FitConfig
from edgeinfer_train.config_file import load_config, save_config
from edgeinfer_train.training import fit as training

from ..conftest import SHALLOW

Command = Callable[..., Any]


def is_one_line(err: str) -> bool:
    return err.startswith("edgeinfer-train: ") and err.count("\n") == 1 and "Traceback" not in err


@pytest.fixture
def source(tmp_path: Path, make_ferplus: Any, make_row: Any) -> Path:
    path: Path = make_ferplus(
        tmp_path / "source",
        [
            make_row("Training", "a.png", "9,0,0,0,0,0,0,0,0,0"),
            make_row("Training", "b.png", "0,9,0,0,0,0,0,0,0,0"),
            make_row("Training", "c.png", "0,0,0,0,0,0,0,9,0,0"),
            make_row("Training", "d.png", "0,0,0,0,0,0,0,0,0,9"),
            make_row("PublicTest", "e.png", "9,0,0,0,0,0,0,0,0,0"),
        ],
        archive=True,
    )
    return path


class TestPrepare:
    def test_prepare_prints_both_tables(self, command: Command, source: Path, tmp_path: Path) -> None:
        done = command("prepare", "ferplus", source, "--out", tmp_path / "data")
        assert done.code == 0
        lines = [line.split() for line in done.out.splitlines()]
        assert ["label", "train", "valid", "total"] in lines
        assert ["total", "2", "1", "3"] in lines
        assert ["contempt", "1", "c.png"] in lines
        assert ["not", "a", "face", "1", "d.png"] in lines
        assert str(tmp_path / "data" / "skipped.csv") in done.out
        assert "no test images" in done.err
        assert "the valid split has no face of happy, surprise, sad, angry, disgust, fear" in done.err
        assert "\r" not in done.err

    def test_second_call_writes_nothing(self, command: Command, source: Path, tmp_path: Path) -> None:
        command("prepare", "ferplus", source, "--out", tmp_path / "data")
        done = command("prepare", "ferplus", source, "--out", tmp_path / "data")
        assert done.code == 0
        assert "nothing written" in done.out

    def test_eight_classes_include_contempt(self, command: Command, source: Path, tmp_path: Path) -> None:
        done = command("prepare", "ferplus", source, "--out", tmp_path / "data", "--classes", "8")
        assert done.code == 0
        assert (tmp_path / "data/train/contempt/c.png").is_file()
        again = command("prepare", "ferplus", source, "--out", tmp_path / "data")
        assert again.code == 4
        assert is_one_line(again.err)


class TestFit:
    @pytest.fixture
    def received(self, monkeypatch: pytest.MonkeyPatch, toy_run: Path, tmp_path: Path) -> list[FitConfig]:
        """Replace the training with a copy of a finished run and record the settings."""
        seen: list[FitConfig] = []

        def record(data: Path, run: Path, config: FitConfig, **options: object) -> None:
            seen.append(config)
            shutil.copytree(toy_run, run, dirs_exist_ok=True)

        monkeypatch.setattr(training, "fit", record)
        return seen

    def test_options_override_the_file_and_the_file_overrides_defaults(
        self, command: Command, tmp_path: Path, received: list[FitConfig]
    ) -> None:
        (tmp_path / "my.toml").write_text("epochs = 3\nseed = 5\n[augment]\nflip = false\n")
        done = command(
            "fit", "DATA", "--run", tmp_path / "run", "--config", tmp_path / "my.toml", "--epochs", 9, "--backbone",
            "edgenet-sep", "--batch-size", 32, "--learning-rate", 0.01, "--width", 0.5, "--patience", 2,
            "--precision", "float32", "--limit", 100,
        )  # fmt: skip
        assert done.code == 0, done.err
        config = received[0]
        assert (config.epochs, config.seed, config.augment.flip) == (9, 5, False)
        assert (config.backbone, config.batch_size, config.learning_rate) == ("edgenet-sep", 32, 0.01)
        assert (config.width, config.patience, config.precision, config.limit) == (0.5, 2, "float32", 100)
        assert config.momentum == FitConfig().momentum

    def test_fine_tuning_options_reach_the_settings(
        self, command: Command, tmp_path: Path, received: list[FitConfig]
    ) -> None:
        done = command(
            "fit", "DATA", "--run", tmp_path / "run", "--backbone", "mobilenetv2", "--weights", "none", "--image-size",
            96, "--trainable-layers", 20, "--phases", "two-phase", "--head-epochs", 3, "--optimizer", "adamw",
            "--schedule", "constant", "--class-weights", "balanced", "--teacher", "a", "--teacher", "b.keras",
        )  # fmt: skip
        assert done.code == 0, done.err
        assert received == [
            FitConfig.for_backbone("mobilenetv2").replace(
                weights="none", image_size=96, trainable_layers=20, phases="two-phase", head_epochs=3,
                optimizer="adamw", schedule="constant", class_weights="balanced", teachers=("a", "b.keras"),
            )
        ]  # fmt: skip

    def test_resume_uses_the_settings_of_the_run(
        self, command: Command, tmp_path: Path, received: list[FitConfig]
    ) -> None:
        (tmp_path / "run").mkdir()
        save_config(FitConfig(epochs=3, width=0.25), tmp_path / "run" / "config.toml")
        command("fit", "DATA", "--run", tmp_path / "run", "--resume")
        assert received == [FitConfig(epochs=3, width=0.25)]

    def test_result_is_printed_to_stdout(self, command: Command, tmp_path: Path, received: list[FitConfig]) -> None:
        done = command("fit", "DATA", "--run", tmp_path / "run")
        assert received == [FitConfig()]
        assert "Toy, valid split, 48 faces" in done.out
        assert f"all files are in {tmp_path / 'run'}" in done.out
        assert done.err == ""

    @pytest.mark.usefixtures("eager")
    @pytest.mark.filterwarnings("ignore:Even though the `tf.config.experimental_run_functions_eagerly`")
    def test_run_prints_one_line_per_epoch(
        self, command: Command, tmp_path: Path, toy_data: Path, toy_config: FitConfig
    ) -> None:
        save_config(toy_config.replace(limit=16), tmp_path / "my.toml")
        done = command("fit", toy_data, "--run", tmp_path / "run", "--config", tmp_path / "my.toml", "--epochs", 2)
        assert done.code == 0, done.err
        # TensorFlow's own log lines depend on the tests that ran before in this process.
        notice, *epochs = (line for line in done.err.splitlines() if not re.match(r"[IW]\d{4} ", line))
        assert notice.startswith("edgeinfer-train: warning: 16 training faces are few to train from scratch")
        assert [line.split()[:2] for line in epochs] == [["epoch", "1/2"], ["epoch", "2/2"]]
        assert "val_accuracy" in done.err
        assert "of 2; all files" in done.out
        assert load_config(tmp_path / "run" / "config.toml").epochs == 2
        again = command("fit", toy_data, "--run", tmp_path / "run")
        assert again.code == 6
        assert is_one_line(again.err)


class TestEvaluate:
    def test_metrics_are_printed_and_written_as_json(
        self, command: Command, toy_run: Path, toy_data: Path, tmp_path: Path
    ) -> None:
        done = command("evaluate", toy_run, toy_data, "--split", "train", "--json", tmp_path / "figures.json")
        assert done.code == 0, done.err
        assert done.err == ""
        values = json.loads((tmp_path / "figures.json").read_text())
        assert (values["split"], values["count"], values["dataset"]) == ("train", 96, "Toy")
        assert f"{values['accuracy']:.4f}" in done.out

    def test_valid_is_the_default_without_a_test_split(self, command: Command, toy_run: Path, toy_data: Path) -> None:
        done = command("evaluate", toy_run / "model.keras", toy_data)
        assert done.code == 0
        assert "no test split; using valid" in done.err
        assert "valid split, 48 faces" in done.out

    def test_test_split_is_the_default(self, command: Command, toy_run: Path, toy_data: Path, tmp_path: Path) -> None:
        shutil.copytree(toy_data, tmp_path / "data")
        shutil.copytree(toy_data / "valid", tmp_path / "data" / "test")
        done = command("evaluate", toy_run, tmp_path / "data")
        assert "test split, 48 faces" in done.out
        assert done.err == ""


ERRORS = {
    "no source": (["prepare", "ferplus", "{tmp}/none", "--out", "{tmp}/d"], 4),
    "fit without data": (["fit", "{tmp}/none", "--run", "{tmp}/r"], 4),
    "fit on unprepared data": (["fit", "{tmp}", "--run", "{tmp}/r"], 4),
    "fit with a missing config": (["fit", "{data}", "--run", "{tmp}/r", "--config", "{tmp}/none.toml"], 2),
    "fit with a wrong setting": (["fit", "{data}", "--run", "{tmp}/r", "--epochs", "0"], 2),
    "fit over another run": (["fit", "{data}", "--run", "{run}"], 6),
    "resume with other settings": (["fit", "{data}", "--run", "{run}", "--resume", "--epochs", "99"], 6),
    "evaluate without a model": (["evaluate", "{tmp}/none.keras", "{data}", "--split", "valid"], 5),
    "evaluate a folder without a run": (["evaluate", "{tmp}", "{data}", "--split", "valid"], 5),
    "evaluate another file": (["evaluate", "{data}/dataset.json", "{data}", "--split", "valid"], 5),
    "evaluate without data": (["evaluate", "{run}", "{tmp}/none"], 4),
    "evaluate an absent split": (["evaluate", "{run}", "{data}", "--split", "test"], 4),
    "evaluate into a missing folder": (["evaluate", "{run}", "{data}", "--json", "{tmp}/none/f.json"], 6),
    "evaluate into a folder": (["evaluate", "{run}", "{data}", "--split", "valid", "--json", "{tmp}"], 6),
}


@pytest.mark.parametrize(("arguments", "code"), ERRORS.values(), ids=ERRORS.keys())
def test_expected_errors_are_one_line(
    command: Command, toy_run: Path, toy_data: Path, tmp_path: Path, arguments: list[str], code: int
) -> None:
    done = command(*(w.format(tmp=tmp_path, run=toy_run, data=toy_data) for w in arguments))
    assert done.code == code, done.err
    assert is_one_line(done.err), done.err


@pytest.mark.parametrize(
    "arguments",
    [
        [], ["prepare", "imagenet", "x", "--out", "y"], ["prepare", "ferplus", "x", "--out", "y", "--classes", "9"],
        ["fit", "x"], ["fit", "x", "--run", "y", "--backbone", "vgg99"], ["fit", "x", "--run", "y", "--epochs", "few"],
        ["evaluate", "x", "y", "--split", "holdout"], ["compare"],
    ],
    ids=" ".join,
)  # fmt: skip
def test_usage_errors_exit_with_2(command: Command, arguments: list[str]) -> None:
    assert command(*arguments).code == 2


BLOCKED = """
import sys
class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {"keras", "tensorflow", "pandas", "matplotlib", "tomli_w"}:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Blocker())
from edgeinfer_train.cli.app import main
main()
"""


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["--help"], 0),
        (["fit", "--help"], 0),
        (["prepare", "ferplus", "x", "--out", "y"], 3),
        (["fit", "x", "--run", "y"], 3),
        (["evaluate", "x", "y"], 3),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else str(value),
)
def test_missing_extra_exits_with_3(arguments: list[str], code: int) -> None:
    done = subprocess.run(
        [sys.executable, "-c", BLOCKED, *arguments],
        capture_output=True,
        text=True,
        env=environment(),
        timeout=120,
        check=False,
    )
    assert done.returncode == code, done.stderr
    if code:
        assert is_one_line(done.stderr)
        assert "pip install 'edgeinfer[train]'" in done.stderr
    else:
        assert "Usage" in done.stdout


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=["Ctrl-C", "SIGTERM"])
def test_signals_set_the_exit_code(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: signal.Signals, code: int
) -> None:
    monkeypatch.setattr(training, "fit", lambda *_args, **_options: os.kill(os.getpid(), number))
    done = command("fit", "DATA", "--run", tmp_path / "run")
    assert done.code == code
    assert is_one_line(done.err)


SHALLOW_PROGRAM = f"""
from edgeinfer_train.cli.app import main
from edgeinfer_train.cli.terminal import require_modules
require_modules("keras")
from edgeinfer_train.networks import edgenet
edgenet.STAGES = {SHALLOW}
main()
"""


def test_interrupted_run_can_be_resumed(tmp_path: Path, toy_data: Path, toy_config: FitConfig) -> None:
    """Check that log output of TensorFlow's libraries does not appear on stderr."""
    save_config(toy_config.replace(epochs=10_000, patience=10_000, limit=16), tmp_path / "my.toml")
    run = tmp_path / "run"
    arguments = ["-c", SHALLOW_PROGRAM, "fit", toy_data, "--run", run, "--config", tmp_path / "my.toml"]
    with subprocess.Popen(
        [sys.executable, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
    ) as process:
        try:
            deadline = time.monotonic() + 240
            while (
                not (run / "state" / "state.json").exists() and process.poll() is None and time.monotonic() < deadline
            ):
                time.sleep(0.05)
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=60)
        finally:
            process.kill()
    assert process.returncode == 130, err
    assert out == ""
    lines = err.splitlines()
    assert all(line.startswith(("epoch ", "edgeinfer-train: ")) for line in lines), err
    assert lines[-1].startswith("edgeinfer-train: ")
    assert json.loads((run / "state" / "state.json").read_text())["history"]


def test_interrupted_fit_prints_how_to_resume(
    command: Callable[..., Any], toy_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(data: Path, run: Path, *_: object, **__: object) -> None:
        run.mkdir()
        (run / "model.keras").write_bytes(b"")
        raise Interrupted(signal.SIGINT)

    monkeypatch.setattr(training, "fit", interrupt)
    done = command("fit", toy_data, "--run", tmp_path / "my run")
    assert done.code == 130
    assert f"the best model so far is {tmp_path / 'my run' / 'model.keras'}" in done.err
    assert f"resume with: edgeinfer-train fit {toy_data} --run '{tmp_path / 'my run'}' --resume" in done.err
