"""systemd service for `edgeinfer run`: unit file, initial config and calls of systemctl."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from edgeinfer.cli.config_file import SYSTEM_FILE
from edgeinfer.errors import CapabilityError, OutputError, UsageError, one_line

NAME = "edgeinfer.service"
STATE_FOLDER = Path("/var/lib/edgeinfer")
SECRETS = Path("/etc/edgeinfer/environment")

NO_SYSTEMD = "the service requires systemd; start `edgeinfer run` by other means"
UNIT = """\
# Written by `edgeinfer service install`. Override it with `systemctl edit edgeinfer`; a reinstallation keeps overrides.
[Unit]
Description=Recognition of perceived facial expressions
Documentation=man:systemd.service(5)
Wants=network-online.target
After=network-online.target
StartLimitIntervalSec=0

[Service]
Type=notify
NotifyAccess=main
ExecStart={interpreter} -m edgeinfer run --append --quiet
ExecReload=/bin/kill -HUP $MAINPID
EnvironmentFile=-{secrets}
TimeoutStartSec=180
# Longer than the maximum backoff between two attempts to reopen a lost source.
WatchdogSec=180
Restart=on-failure
RestartSec=5
# Usage errors and rejected models need a change by the user.
RestartPreventExitStatus=2 5
SuccessExitStatus=130 143

{user}
StateDirectory=edgeinfer
WorkingDirectory=%S/edgeinfer
SupplementaryGroups=video
ProtectSystem=strict
ProtectHome=read-only
PrivateTmp=yes
NoNewPrivileges=yes
# Cameras; a Raspberry Pi camera and its thermometer need media, dma_heap and the vc devices.
DevicePolicy=closed
DeviceAllow=char-video4linux rw
DeviceAllow=char-media rw
DeviceAllow=char-dma_heap rw
DeviceAllow=/dev/vchiq rw
DeviceAllow=/dev/vcio rw
DeviceAllow=/dev/vcsm-cma rw

[Install]
WantedBy=multi-user.target
"""

CONFIG = f"""\
# Settings of the service and of `edgeinfer run`: option names with _ for -. Check them with `edgeinfer config check`,
# then apply them with: systemctl reload edgeinfer
# Relative paths are below {STATE_FOLDER}; existing outputs are appended to.
# Set a source with a password in {SECRETS} instead, readable by root only:
# EDGEINFER_SOURCE=rtsp://name:password@camera/path

source = "/dev/video0"
out = ["faces.jsonl"]
retries = "forever"

# split_every = "1d"
# keep = 30
# model = "edgenet-ferplus-int8"
# detect_every = "auto"
# prior = "balanced"
# threads = 2
# max_temp = 75.0
"""


def unit_text(*, interpreter: str = os.path.normpath(sys.executable), user: str | None = None) -> str:
    """Return the text of the unit file.

    Args:
        interpreter: Absolute path of the Python interpreter that has edgeinfer installed.
        user: User to run as; None for a dynamic user.
    """
    quoted = interpreter.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")
    return UNIT.format(
        interpreter=f'"{quoted}"' if any(c in quoted for c in " '\"\\;") else quoted,
        user=f"User={user}" if user else "DynamicUser=yes",
        secrets=SECRETS,
    )


class Service:
    """Service on this machine.

    Attributes:
        unit: Path of the unit file.
        config: Path of the system config file.
    """

    def __init__(self, *, root: Path = Path("/"), report: Callable[[str], None] = print) -> None:
        """Initialize without changing anything.

        Args:
            root: Folder used in place of `/`.
            report: Function that receives one sentence for each step.
        """
        self._report = report
        self.unit = root / "etc/systemd/system" / NAME
        self.config = root / SYSTEM_FILE.relative_to("/")

    def install(self, *, user: str | None = None, start: bool = True) -> None:
        """Write the unit and, if missing, an initial config file; enable and start the service.

        Args:
            user: Existing user to run as; None for a dynamic user.
            start: True to start it now, not only at the next boot.

        Raises:
            UsageError: The user does not exist.
            CapabilityError: systemd is missing or systemctl failed.
            OutputError: The process is not root, or the file system is read-only.
        """
        check_user(user)
        _program("systemctl")
        text = unit_text(user=user)
        before = self.unit.read_text(encoding="utf-8") if self.unit.is_file() else None
        if text != before:
            self._write(self.unit, text)
        if not self.config.exists():
            self._write(self.config, CONFIG)
        self._systemctl("daemon-reload")
        self._systemctl("enable", *(["--now"] if start else []), NAME)
        if start and before not in (None, text):
            self._systemctl("try-restart", NAME)

    def uninstall(self) -> None:
        """Stop and disable the service and remove its unit; config and results stay.

        Raises:
            CapabilityError: systemd is missing or systemctl failed.
            OutputError: The process is not root.
        """
        _program("systemctl")
        if not self.unit.exists():
            self._report(f"not installed: {self.unit} does not exist")
            return
        if not os.access(self.unit.parent, os.W_OK):
            raise OutputError(f"cannot remove {self.unit}; {_as_root('uninstall')}")
        self._systemctl("disable", "--now", NAME)
        self.unit.unlink()
        self._report(f"removed {self.unit}")
        self._systemctl("daemon-reload")
        self._report(f"kept {self.config.parent} and {STATE_FOLDER}; delete them if they are no longer needed")

    def status(self, *, lines: int = 10) -> None:
        """Report the state of the service and its last log lines.

        Raises:
            CapabilityError: systemd is missing.
        """
        systemctl = _program("systemctl")
        if not self.unit.exists():
            self._report(f"not installed: {self.unit} does not exist; run: edgeinfer service install")
            return
        wanted = ("UnitFileState", "ActiveState", "SubState", "Result", "NRestarts", "StatusText")
        output = _call(systemctl, "show", NAME, f"--property={','.join(wanted)}").stdout
        found = dict(line.partition("=")[::2] for line in output.splitlines())
        self._report(f"installed: {self.unit} ({found.get('UnitFileState') or 'state unknown'})")
        state = f"{found.get('ActiveState') or 'unknown'} ({found.get('SubState') or 'unknown'})"
        restarts = found.get("NRestarts", "0")
        self._report(f"state: {state}, last result {found.get('Result') or 'unknown'}, restarted {restarts} times")
        if found.get("StatusText"):
            self._report(f"status: {one_line(found['StatusText'])}")
        self._journal(lines)

    def _journal(self, lines: int) -> None:
        program = shutil.which("journalctl")
        arguments = ("--unit", NAME, "--lines", str(lines), "--no-pager", "--quiet", "--output", "short-iso")
        answer = _call(program, *arguments) if program else None
        if answer is None or answer.returncode or not answer.stdout.strip():
            self._report(f"journal: no entries readable; try: sudo journalctl --unit {NAME}")
            return
        for line in answer.stdout.splitlines():
            self._report(f"journal: {one_line(line)}")

    def _write(self, path: Path, text: str) -> None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
            path.chmod(0o644)
        except OSError as error:
            raise OutputError(f"cannot write {path}: {error.strerror}; {_as_root('install')}") from error
        self._report(f"wrote {path}")

    def _systemctl(self, *arguments: str) -> None:
        done = _call(_program("systemctl"), *arguments)
        if done.returncode:
            reason = one_line((done.stderr or done.stdout).strip()) or f"exit code {done.returncode}"
            raise CapabilityError(f"systemctl {' '.join(arguments)} failed: {reason}; see: journalctl --unit {NAME}")
        self._report(f"ran systemctl {' '.join(arguments)}")


def check_user(user: str | None) -> None:
    """Validate a user name.

    Raises:
        UsageError: The user does not exist on this system.
    """
    if user is not None:
        _uid(user)


def inaccessible_folder(paths: Sequence[Path], user: str | None) -> Path | None:
    """Return the first parent folder that the service user cannot enter, or None if all are accessible.

    Args:
        paths: Files that the service must read.
        user: User to run as; None for a dynamic user.
    """
    uid = None if user is None else _uid(user)
    if uid == 0:
        return None
    for path in paths:
        for real in (path.absolute(), path.resolve()):
            for folder in reversed(real.parents):
                found = folder.stat()
                if not found.st_mode & (0o100 if found.st_uid == uid else 0o001):
                    return folder
    return None


def required_files() -> tuple[Path, ...]:
    """Return the files that the service must be able to read: the interpreter and this package."""
    return Path(sys.executable), Path(__file__)


def _uid(user: str) -> int:
    if sys.platform == "win32":
        raise CapabilityError(NO_SYSTEMD)
    import pwd

    try:
        return pwd.getpwnam(user).pw_uid
    except KeyError as error:
        raise UsageError(f"this system has no user {user}; choose an existing one, or omit `user`") from error


def _program(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        raise CapabilityError(f"{name} not found: {NO_SYSTEMD}")
    return found


def _call(program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([program, *arguments], capture_output=True, text=True, check=False)  # noqa: S603 - our own words


def _as_root(command: str) -> str:
    return f"run it as root: sudo {sys.executable} -m edgeinfer service {command}"
