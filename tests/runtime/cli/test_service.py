from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgeinfer import CapabilityError, OutputError, UsageError
from edgeinfer.cli.systemd_unit import CONFIG, STATE_FOLDER, Service, inaccessible_folder, unit_text
from tools.cli import edgeinfer

ME = pwd.getpwuid(os.getuid()).pw_name
SYSTEMCTL = """#!/bin/sh
echo "$@" >> "$(dirname "$0")/calls"
case "$*" in
    *"{failing}"*) echo "Job failed." >&2; exit 1;;
    show*) printf 'ActiveState=active\\nSubState=running\\nUnitFileState=enabled\\nNRestarts=2\\nResult=success\\nStatusText=9 frames\\n';;
esac
"""  # noqa: E501


class Machine:
    """Machine with its own root folder, systemctl and journalctl."""

    def __init__(self, folder: Path) -> None:
        self.root, self.programs = folder / "root", folder / "programs"
        self.reported: list[str] = []
        self.root.mkdir()
        self.programs.mkdir()
        self.service = Service(root=self.root, report=self.reported.append)
        self.set_systemctl()
        self._program("journalctl", "#!/bin/sh\necho 'a line'\n")

    def set_systemctl(self, *, failing: str = "no such call") -> None:
        self._program("systemctl", SYSTEMCTL.format(failing=failing))

    def calls(self) -> list[str]:
        """Return the calls of systemctl since the last call of this method."""
        path = self.programs / "calls"
        calls = path.read_text().splitlines() if path.exists() else []
        path.unlink(missing_ok=True)
        return calls

    def _program(self, name: str, text: str) -> None:
        (self.programs / name).write_text(text)
        (self.programs / name).chmod(0o755)


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    machine = Machine(tmp_path)
    monkeypatch.setenv("PATH", str(machine.programs), prepend=":")
    return machine


def test_install_writes_unit_and_config_and_starts_the_service(machine: Machine) -> None:
    machine.service.install()
    assert machine.service.unit == machine.root / "etc/systemd/system/edgeinfer.service"
    assert machine.service.unit.read_text() == unit_text()
    assert machine.service.config.read_text() == CONFIG
    assert machine.calls() == ["daemon-reload", "enable --now edgeinfer.service"]
    assert machine.reported == [
        f"wrote {machine.service.unit}",
        f"wrote {machine.service.config}",
        "ran systemctl daemon-reload",
        "ran systemctl enable --now edgeinfer.service",
    ]


def test_reinstall_keeps_the_config_and_restarts_only_a_changed_unit(machine: Machine) -> None:
    machine.service.install()
    machine.service.config.write_text("threads = 2")
    machine.calls()
    machine.service.install()
    assert machine.calls() == ["daemon-reload", "enable --now edgeinfer.service"]
    machine.service.install(user=ME)
    assert machine.calls()[-1] == "try-restart edgeinfer.service"
    assert f"\nUser={ME}\n" in machine.service.unit.read_text()
    assert machine.service.config.read_text() == "threads = 2"


def test_install_without_start(machine: Machine) -> None:
    machine.service.install(start=False)
    assert machine.calls() == ["daemon-reload", "enable edgeinfer.service"]


def test_uninstall_keeps_config_and_results(machine: Machine) -> None:
    machine.service.install()
    machine.calls()
    machine.service.uninstall()
    assert machine.calls() == ["disable --now edgeinfer.service", "daemon-reload"]
    assert not machine.service.unit.exists()
    assert machine.service.config.exists()
    assert str(STATE_FOLDER) in machine.reported[-1]
    machine.service.uninstall()
    assert machine.reported[-1].startswith("not installed")
    assert machine.calls() == []


def test_status_reports_state_and_log(machine: Machine) -> None:
    machine.service.status()
    assert machine.reported.pop().startswith("not installed")
    machine.service.install()
    machine.reported.clear()
    machine.service.status()
    assert machine.reported == [
        f"installed: {machine.service.unit} (enabled)",
        "state: active (running), last result success, restarted 2 times",
        "status: 9 frames",
        "journal: a line",
    ]


def test_systemctl_failure_is_reported(machine: Machine) -> None:
    machine.set_systemctl(failing="enable")
    with pytest.raises(CapabilityError, match=r"systemctl enable --now edgeinfer\.service failed: Job failed\."):
        machine.service.install()


def test_unwritable_unit_is_an_output_error(machine: Machine) -> None:
    (machine.root / "etc").write_text("no folder")
    with pytest.raises(OutputError, match=r"cannot write .*; run it as root: sudo .* service install"):
        machine.service.install()
    assert machine.calls() == []


def test_unknown_user_is_a_usage_error(machine: Machine) -> None:
    with pytest.raises(UsageError, match="no user missing-user"):
        machine.service.install(user="missing-user")
    assert list(machine.root.iterdir()) == []


@pytest.mark.parametrize("command", ["install", "uninstall", "status"])
def test_missing_systemd_exits_with_3(tmp_path: Path, command: str) -> None:
    done = edgeinfer("service", command, env={"PATH": str(tmp_path)})
    assert done.returncode == 3
    assert "requires systemd" in done.stderr.splitlines()[-1]


def test_dry_run_prints_only_the_unit(tmp_path: Path) -> None:
    done = edgeinfer("service", "install", "--dry-run", "--user", ME, env={"PATH": str(tmp_path)})
    assert (done.returncode, done.stdout) == (0, unit_text(user=ME))


@pytest.mark.parametrize(
    ("interpreter", "line"),
    [
        ("/opt/e/bin/python", "ExecStart=/opt/e/bin/python -m edgeinfer run --append --quiet"),
        ("/opt/my 100%/python", 'ExecStart="/opt/my 100%%/python" -m edgeinfer run --append --quiet'),
    ],
)
def test_interpreter_path_is_quoted(interpreter: str, line: str) -> None:
    assert line in unit_text(interpreter=interpreter).splitlines()


@pytest.fixture
def accessible_folder() -> Iterator[Path]:
    """Folder that every user can enter, unlike pytest's own."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name).resolve()
        folder.chmod(0o755)
        if not all(parent.stat().st_mode & 0o001 for parent in folder.parents):
            pytest.skip(f"{folder.parent} is not accessible to other users")
        yield folder


def test_inaccessible_home_is_found(accessible_folder: Path) -> None:
    home = accessible_folder / "home"
    (home / "venv").mkdir(parents=True)
    program, link = home / "venv" / "python", accessible_folder / "python"
    program.touch()
    link.symlink_to(program)
    assert inaccessible_folder([program], None) is None
    home.chmod(0o700)
    assert inaccessible_folder([program], None) == home
    assert inaccessible_folder([link], None) == home
    assert inaccessible_folder([program], ME) is None


def test_initial_config_contains_only_valid_settings(tmp_path: Path) -> None:
    path = tmp_path / "c.toml"
    settings = [line.removeprefix("# ") for line in CONFIG.splitlines() if " = " in line]
    path.write_text("\n".join(settings))
    done = edgeinfer("config", "check", str(path))
    assert (done.returncode, done.stderr) == (0, "")
    assert len(settings) >= 5


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")
@pytest.mark.parametrize("user", [None, ME])
def test_systemd_analyze_accepts_the_unit(tmp_path: Path, user: str | None) -> None:
    path = tmp_path / "edgeinfer.service"
    path.write_text(unit_text(user=user))
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(path)], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
