from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgeinfer import CapabilityError, OutputError, UsageError
from edgeinfer.cli.systemd_unit import CONFIG, STATE_FOLDER, Service, closed_folder, unit_text
from tools.patience import PATIENCE

ME = pwd.getpwuid(os.getuid()).pw_name
SYSTEMCTL = """#!/bin/sh
echo "$@" >> "$(dirname "$0")/calls"
case "$*" in
    *"{failing}"*) echo "Job failed." >&2; exit 1;;
    show*) printf 'ActiveState=active\\nSubState=running\\nUnitFileState=enabled\\nNRestarts=2\\nResult=success\\nStatusText=9 frames\\n';;
esac
"""  # noqa: E501


class World:
    """A machine with a root folder, a systemctl and a journalctl of its own."""

    def __init__(self, folder: Path) -> None:
        self.root, self.programs = folder / "root", folder / "programs"
        self.said: list[str] = []
        self.root.mkdir()
        self.programs.mkdir()
        self.service = Service(root=self.root, say=self.said.append)
        self.answers()
        self._program("journalctl", "#!/bin/sh\necho 'a line'\n")

    def answers(self, *, failing: str = "nothing at all") -> None:
        self._program("systemctl", SYSTEMCTL.format(failing=failing))

    def calls(self) -> list[str]:
        """What systemctl was asked for since the last time."""
        path = self.programs / "calls"
        asked = path.read_text().splitlines() if path.exists() else []
        path.unlink(missing_ok=True)
        return asked

    def _program(self, name: str, text: str) -> None:
        (self.programs / name).write_text(text)
        (self.programs / name).chmod(0o755)


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    world = World(tmp_path)
    monkeypatch.setenv("PATH", str(world.programs), prepend=":")
    return world


def test_installing_writes_the_unit_and_a_config_and_starts(world: World) -> None:
    world.service.install()
    assert world.service.unit == world.root / "etc/systemd/system/edgeinfer.service"
    assert world.service.unit.read_text() == unit_text()
    assert world.service.config.read_text() == CONFIG
    assert world.calls() == ["daemon-reload", "enable --now edgeinfer.service"]
    assert world.said == [
        f"wrote {world.service.unit}",
        f"wrote {world.service.config}",
        "ran systemctl daemon-reload",
        "ran systemctl enable --now edgeinfer.service",
    ]


def test_installing_again_keeps_the_config_and_restarts_a_changed_unit_only(world: World) -> None:
    world.service.install()
    world.service.config.write_text("threads = 2")
    world.calls()
    world.service.install()
    assert world.calls() == ["daemon-reload", "enable --now edgeinfer.service"]
    world.service.install(user=ME)
    assert world.calls()[-1] == "try-restart edgeinfer.service"
    assert f"\nUser={ME}\n" in world.service.unit.read_text()
    assert world.service.config.read_text() == "threads = 2"


def test_installing_without_a_start(world: World) -> None:
    world.service.install(start=False)
    assert world.calls() == ["daemon-reload", "enable edgeinfer.service"]


def test_uninstalling_keeps_config_and_results(world: World) -> None:
    world.service.install()
    world.calls()
    world.service.uninstall()
    assert world.calls() == ["disable --now edgeinfer.service", "daemon-reload"]
    assert not world.service.unit.exists()
    assert world.service.config.exists()
    assert str(STATE_FOLDER) in world.said[-1]
    world.service.uninstall()
    assert world.said[-1].startswith("not installed")
    assert world.calls() == []


def test_status_tells_state_and_last_words(world: World) -> None:
    world.service.status()
    assert world.said.pop().startswith("not installed")
    world.service.install()
    world.said.clear()
    world.service.status()
    assert world.said == [
        f"installed: {world.service.unit} (enabled)",
        "state: active (running), last result success, restarted 2 times",
        "says: 9 frames",
        "journal: a line",
    ]


def test_a_system_that_refuses_is_named(world: World) -> None:
    world.answers(failing="enable")
    with pytest.raises(CapabilityError, match=r"systemctl enable --now edgeinfer\.service failed: Job failed\."):
        world.service.install()


def test_what_cannot_be_written_is_an_output_error(world: World) -> None:
    (world.root / "etc").write_text("no folder")
    with pytest.raises(OutputError, match=r"cannot write .*; run it as root: sudo .* service install"):
        world.service.install()
    assert world.calls() == []


def test_nobody_is_no_user(world: World) -> None:
    with pytest.raises(UsageError, match="no user nobody-at-all"):
        world.service.install(user="nobody-at-all")
    assert list(world.root.iterdir()) == []


@pytest.mark.parametrize("command", ["install", "uninstall", "status"])
def test_without_systemd_it_is_3(tmp_path: Path, command: str) -> None:
    done = _edgeinfer("service", command, PATH=str(tmp_path))
    assert done.returncode == 3
    assert "needs systemd" in done.stderr.splitlines()[-1]


def test_a_dry_run_needs_nothing_and_touches_nothing(tmp_path: Path) -> None:
    done = _edgeinfer("service", "install", "--dry-run", "--user", ME, PATH=str(tmp_path))
    assert (done.returncode, done.stdout) == (0, unit_text(user=ME))


@pytest.mark.parametrize(
    ("interpreter", "line"),
    [
        ("/opt/e/bin/python", "ExecStart=/opt/e/bin/python -m edgeinfer run --append --quiet"),
        ("/opt/my 100%/python", 'ExecStart="/opt/my 100%%/python" -m edgeinfer run --append --quiet'),
    ],
)
def test_the_interpreter_is_quoted(interpreter: str, line: str) -> None:
    assert line in unit_text(interpreter=interpreter).splitlines()


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that everybody can pass, unlike pytest's own."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name).resolve()
        folder.chmod(0o755)
        if not all(parent.stat().st_mode & 0o001 for parent in folder.parents):
            pytest.skip(f"{folder.parent} is closed to others")
        yield folder


def test_a_home_that_is_closed_to_others_is_found(open_folder: Path) -> None:
    home = open_folder / "home"
    (home / "venv").mkdir(parents=True)
    program, link = home / "venv" / "python", open_folder / "python"
    program.touch()
    link.symlink_to(program)
    assert closed_folder([program], None) is None
    home.chmod(0o700)
    assert closed_folder([program], None) == home
    assert closed_folder([link], None) == home
    assert closed_folder([program], ME) is None


def test_every_setting_of_the_first_config_is_one_that_run_takes(tmp_path: Path) -> None:
    path = tmp_path / "c.toml"
    settings = [line.removeprefix("# ") for line in CONFIG.splitlines() if " = " in line]
    path.write_text("\n".join(settings))
    done = _edgeinfer("config", "check", str(path))
    assert (done.returncode, done.stderr) == (0, "")
    assert len(settings) >= 5


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")
@pytest.mark.parametrize("user", [None, ME])
def test_systemd_finds_no_fault_with_the_unit(tmp_path: Path, user: str | None) -> None:
    path = tmp_path / "edgeinfer.service"
    path.write_text(unit_text(user=user))
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(path)], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


def _edgeinfer(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "edgeinfer", *arguments]
    variables = {**os.environ, **environment}
    return subprocess.run(command, capture_output=True, text=True, timeout=60 * PATIENCE, check=False, env=variables)
