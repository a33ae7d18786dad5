"""Builds a folder in which a Raspberry Pi 4's own wheels run on a PC: `make test-pi` uses it.

    python tests/pi/build.py FOLDER

Into the folder go Debian's arm64 packages of Python 3.11 and the libraries that it needs, the aarch64 wheels of the
runtime and of pytest, what Linux tells of the board's processor (onnxruntime ends without it), QEMU's user emulation
and `python`, which starts all that. Nothing is installed and no root is needed; apt, dpkg and pip are. It shows that
the runtime works there, not how fast.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
PACKAGES = ("python3.11-minimal", "libpython3.11-stdlib", "libstdc++6", "libgcc-s1")
PLATFORMS = ("manylinux_2_28_aarch64", "manylinux_2_27_aarch64", "manylinux_2_17_aarch64", "manylinux2014_aarch64")
EMULATOR = "qemu-aarch64-static"

CORE = """\
processor\t: {number}
BogoMIPS\t: 108.00
Features\t: fp asimd evtstrm crc32 cpuid
CPU implementer\t: 0x41
CPU architecture: 8
CPU variant\t: 0x0
CPU part\t: 0xd08
CPU revision\t: 3
"""
BOARD = "Revision\t: c03112\nModel\t\t: Raspberry Pi 4 Model B Rev 1.2\n"
"""`/proc/cpuinfo` of a Raspberry Pi 4 under a 64-bit kernel: four cores of a Cortex-A72 (part 0xd08), and the board."""

LAUNCHER = f"""\
#!/bin/sh
# Python of a Raspberry Pi 4. It starts itself through this file, so sys.executable is native.
here=$(cd "$(dirname "$0")" && pwd)
export PYTHONHOME="$here/root/usr" PYTHONPATH="$here/site${{PYTHONPATH:+:$PYTHONPATH}}"
exec "$here/{EMULATOR}" -L "$here/root" -cpu cortex-a72 -0 "$here/python" "$here/root/usr/bin/python3.11" "$@"
"""


def call(*command: str | Path, folder: Path | None = None) -> None:
    """Run a program; show what it says only when it fails."""
    try:
        subprocess.run(list(map(str, command)), cwd=folder, check=True, capture_output=True, text=True)
    except FileNotFoundError as error:
        raise SystemExit(f"{command[0]} is missing; this needs Debian 12 or what is built on it") from error
    except subprocess.CalledProcessError as error:
        raise SystemExit(f"{error.stdout}{error.stderr}{command[0]} failed; see above") from error


def system(folder: Path) -> None:
    """Unpack Debian's arm64 packages, with an apt whose lists and state lie in the folder."""
    state = folder / "apt"
    for part in ("lists/partial", "archives/partial", "etc"):
        (state / part).mkdir(parents=True, exist_ok=True)
    (state / "status").touch()
    options = {
        "APT::Architecture": "arm64", "APT::Architectures": "arm64", "APT::Install-Recommends": "0",
        "APT::Sandbox::User": "", "Debug::NoLocking": "1", "Dir::State": state, "Dir::State::status": state / "status",
        "Dir::State::Lists": state / "lists", "Dir::Cache": state, "Dir::Cache::archives": state / "archives",
    }  # fmt: skip
    apt = ["apt-get", *(word for key, value in options.items() for word in ("-o", f"{key}={value}"))]
    call(*apt, "update")
    call(*apt, "install", "--download-only", "--yes", *PACKAGES)
    for package in sorted((state / "archives").glob("*.deb")):
        call("dpkg-deb", "--extract", package, folder / "root")


def emulator(folder: Path) -> None:
    """Take this machine's QEMU, or the one of its Debian, unpacked."""
    found = shutil.which(EMULATOR)
    if found is None:
        unpacked = folder / "qemu"
        unpacked.mkdir()
        call("apt-get", "-o", "APT::Sandbox::User=", "download", "qemu-user-static", folder=unpacked)
        call("dpkg-deb", "--extract", next(unpacked.glob("*.deb")), unpacked)
        found = str(unpacked / "usr/bin" / EMULATOR)
    shutil.copy(found, folder / EMULATOR)


def wheels(folder: Path) -> None:
    """Unpack what `pip install .` and pytest bring on a 64-bit Raspberry Pi OS."""
    needed = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]["dependencies"]
    platforms = [word for platform in PLATFORMS for word in ("--platform", platform)]
    fixed = ["--only-binary=:all:", "--python-version", "3.11", "--implementation", "cp"]
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
    call(*pip, *fixed, "--dest", folder / "wheels", *platforms, *needed, "pytest>=8.3")
    for wheel in (folder / "wheels").glob("*.whl"):
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(folder / "site")


def board(folder: Path) -> None:
    """Write what Linux tells of the processor; QEMU looks below its root first."""
    told = {f"sys/devices/system/cpu/{name}": "0-3\n" for name in ("possible", "present", "online")}
    told["proc/cpuinfo"] = "\n".join([*(CORE.format(number=number) for number in range(4)), BOARD])
    for name, text in told.items():
        path = folder / "root" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


def main() -> None:
    """Build the folder anew."""
    if len(sys.argv) != 2:
        raise SystemExit("usage: python tests/pi/build.py FOLDER")
    folder = Path(sys.argv[1]).resolve()
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for step in (system, emulator, wheels, board):
        step(folder)
    for spent in ("apt", "qemu", "wheels"):
        shutil.rmtree(folder / spent, ignore_errors=True)
    launcher = folder / "python"
    launcher.write_text(LAUNCHER, encoding="utf-8")
    launcher.chmod(0o755)
    call(launcher, "-c", "import cv2, numpy, onnxruntime")


if __name__ == "__main__":
    main()
