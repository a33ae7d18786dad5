"""`edgeinfer run` as a service of systemd: the unit, where it goes, what is asked of systemctl."""

from __future__ import annotations

import os
import pwd
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

UNIT = """\
# Written by `edgeinfer service install`. Change it with `systemctl edit edgeinfer`, which a new installation keeps.
[Unit]
Description=Reads perceived facial expressions
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
# Longer than the longest pause between two attempts to open a lost source.
WatchdogSec=180
Restart=on-failure
RestartSec=5
# Wrong usage and a refused model do not heal by themselves.
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
# Cameras; media, dma_heap and the vc devices are what a Raspberry Pi's own camera and thermometer need.
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
# Settings of the service and of `edgeinfer run`: its options, with _ for -. Check them with `edgeinfer config check`,
# then have the service take them: systemctl reload edgeinfer
# Relative names lie in {STATE_FOLDER}; outputs that are there already are continued.
# A source with a password is better set in {SECRETS}, which root alone needs to read:
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
    """The unit.

    Args:
        interpreter: absolute path of the Python that has edgeinfer.
        user: who it runs as; None for a user of its own, whom systemd makes.
    """
    quoted = interpreter.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")
    return UNIT.format(
        interpreter=f'"{quoted}"' if any(c in quoted for c in " '\"\\;") else quoted,
        user=f"User={user}" if user else "DynamicUser=yes",
        secrets=SECRETS,
    )


class Service:
    """The service on this machine.

    Attributes:
        unit: its file.
        config: the system's config file.
    """

    def __init__(self, *, root: Path = Path("/"), say: Callable[[str], None] = print) -> None:
        """Change nothing yet.

        Args:
            root: the folder that stands for `/`.
            say: takes a sentence for each thing that was done.
        """
        self._say = say
        self.unit = root / "etc/systemd/system" / NAME
        self.config = root / SYSTEM_FILE.relative_to("/")

    def install(self, *, user: str | None = None, start: bool = True) -> None:
        """Write the unit and, where there is none, a config; enable and start.

        Args:
            user: an existing one to run as; None for one of its own.
            start: now, not only with the machine.

        Raises:
            UsageError: there is no such user.
            CapabilityError: no systemd here, or it refuses.
            OutputError: not root, or the system is read-only.
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
        """Stop, disable and remove the unit; config and results stay.

        Raises:
            CapabilityError: no systemd here, or it refuses.
            OutputError: not root.
        """
        _program("systemctl")
        if not self.unit.exists():
            self._say(f"not installed: there is no {self.unit}")
            return
        if not os.access(self.unit.parent, os.W_OK):
            raise OutputError(f"cannot remove {self.unit}; {_as_root('uninstall')}")
        self._systemctl("disable", "--now", NAME)
        self.unit.unlink()
        self._say(f"removed {self.unit}")
        self._systemctl("daemon-reload")
        self._say(f"kept {self.config.parent} and {STATE_FOLDER}; remove them if nobody needs them")

    def status(self, *, lines: int = 10) -> None:
        """Say whether it is there and at work, and what it said last.

        Raises:
            CapabilityError: no systemd here.
        """
        systemctl = _program("systemctl")
        if not self.unit.exists():
            self._say(f"not installed: there is no {self.unit}; run: edgeinfer service install")
            return
        wanted = ("UnitFileState", "ActiveState", "SubState", "Result", "NRestarts", "StatusText")
        told = _call(systemctl, "show", NAME, f"--property={','.join(wanted)}").stdout
        found = dict(line.partition("=")[::2] for line in told.splitlines())
        self._say(f"installed: {self.unit} ({found.get('UnitFileState') or 'state unknown'})")
        state = f"{found.get('ActiveState') or 'unknown'} ({found.get('SubState') or 'unknown'})"
        restarts = found.get("NRestarts", "0")
        self._say(f"state: {state}, last result {found.get('Result') or 'unknown'}, restarted {restarts} times")
        if found.get("StatusText"):
            self._say(f"says: {one_line(found['StatusText'])}")
        self._journal(lines)

    def _journal(self, lines: int) -> None:
        program = shutil.which("journalctl")
        arguments = ("--unit", NAME, "--lines", str(lines), "--no-pager", "--quiet", "--output", "short-iso")
        told = _call(program, *arguments) if program else None
        if told is None or told.returncode or not told.stdout.strip():
            self._say(f"journal: nothing to be read; try: sudo journalctl --unit {NAME}")
            return
        for line in told.stdout.splitlines():
            self._say(f"journal: {one_line(line)}")

    def _write(self, path: Path, text: str) -> None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
            path.chmod(0o644)
        except OSError as error:
            raise OutputError(f"cannot write {path}: {error.strerror}; {_as_root('install')}") from error
        self._say(f"wrote {path}")

    def _systemctl(self, *arguments: str) -> None:
        done = _call(_program("systemctl"), *arguments)
        if done.returncode:
            reason = one_line((done.stderr or done.stdout).strip()) or f"exit code {done.returncode}"
            raise CapabilityError(f"systemctl {' '.join(arguments)} failed: {reason}; see: journalctl --unit {NAME}")
        self._say(f"ran systemctl {' '.join(arguments)}")


def check_user(user: str | None) -> None:
    """Refuse the name of nobody.

    Raises:
        UsageError: this system has no such user.
    """
    if user is not None:
        _uid(user)


def closed_folder(paths: Sequence[Path], user: str | None) -> Path | None:
    """The first folder above one of these files that the service's user could not pass; None where all is open.

    Args:
        paths: what the service must read.
        user: who it runs as; None for one of its own.
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


def needed() -> tuple[Path, ...]:
    """What the service must be able to read: the interpreter and this package."""
    return Path(sys.executable), Path(__file__)


def _uid(user: str) -> int:
    try:
        return pwd.getpwnam(user).pw_uid
    except KeyError as error:
        raise UsageError(f"this system has no user {user}; name an existing one, or leave out --user") from error


def _program(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        raise CapabilityError(f"no {name} here; the service needs systemd. Start `edgeinfer run` by other means")
    return found


def _call(program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([program, *arguments], capture_output=True, text=True, check=False)  # noqa: S603 - our own words


def _as_root(command: str) -> str:
    return f"run it as root: sudo {sys.executable} -m edgeinfer service {command}"
