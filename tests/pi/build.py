"""Build of an emulated Raspberry Pi 4 environment for `make test-pi`.

    python tests/pi/build.py FOLDER

The folder receives Debian's arm64 packages of Python 3.11 and its libraries, the aarch64 wheels of the runtime and of
pytest, the CPU description files of the board (onnxruntime aborts without them), QEMU's user-mode emulator and the
launcher `python`. Nothing is installed and root is not required, but apt, dpkg and pip are. The emulation shows that
the runtime works on the board; its speed is meaningless.
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
"""End of `/proc/cpuinfo` of a Raspberry Pi 4 with a 64-bit kernel, after four Cortex-A72 cores (part 0xd08)."""

LAUNCHER = f"""\
#!/bin/sh
# Python of a Raspberry Pi 4. Its subprocesses use this file as well, because sys.executable refers to it.
here=$(cd "$(dirname "$0")" && pwd)
export PYTHONHOME="$here/root/usr" PYTHONPATH="$here/site${{PYTHONPATH:+:$PYTHONPATH}}"
exec "$here/{EMULATOR}" -L "$here/root" -cpu cortex-a72 -0 "$here/python" "$here/root/usr/bin/python3.11" "$@"
"""


def call(*command: str | Path, folder: Path | None = None) -> None:
    """Run a program and print its output only if it fails."""
    try:
        subprocess.run(list(map(str, command)), cwd=folder, check=True, capture_output=True, text=True)
    except FileNotFoundError as error:
        raise SystemExit(f"{command[0]} is not installed; this script requires Debian 12 or a derivative") from error
    except subprocess.CalledProcessError as error:
        raise SystemExit(f"{error.stdout}{error.stderr}{command[0]} failed; see above") from error


def unpack_packages(folder: Path) -> None:
    """Download and unpack Debian's arm64 packages, with the lists and state of apt inside the folder."""
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


def copy_emulator(folder: Path) -> None:
    """Copy the installed QEMU, or download the Debian package and unpack it."""
    path = shutil.which(EMULATOR)
    if path is None:
        unpacked = folder / "qemu"
        unpacked.mkdir()
        call("apt-get", "-o", "APT::Sandbox::User=", "download", "qemu-user-static", folder=unpacked)
        call("dpkg-deb", "--extract", next(unpacked.glob("*.deb")), unpacked)
        path = str(unpacked / "usr/bin" / EMULATOR)
    shutil.copy(path, folder / EMULATOR)


def unpack_wheels(folder: Path) -> None:
    """Download and unpack the wheels of the runtime and pytest for 64-bit Raspberry Pi OS."""
    dependencies = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]["dependencies"]
    platforms = [word for platform in PLATFORMS for word in ("--platform", platform)]
    fixed = ["--only-binary=:all:", "--python-version", "3.11", "--implementation", "cp"]
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
    call(*pip, *fixed, "--dest", folder / "wheels", *platforms, *dependencies, "pytest>=8.3")
    for wheel in (folder / "wheels").glob("*.whl"):
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(folder / "site")


def write_cpu_files(folder: Path) -> None:
    """Write the CPU description files of the board. QEMU looks below its root folder before the real one."""
    files = {f"sys/devices/system/cpu/{name}": "0-3\n" for name in ("possible", "present", "online")}
    files["proc/cpuinfo"] = "\n".join([*(CORE.format(number=number) for number in range(4)), BOARD])
    for name, text in files.items():
        path = folder / "root" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


def main() -> None:
    """Build the folder from scratch."""
    if len(sys.argv) != 2:
        raise SystemExit("usage: python tests/pi/build.py FOLDER")
    folder = Path(sys.argv[1]).resolve()
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for step in (unpack_packages, copy_emulator, unpack_wheels, write_cpu_files):
        step(folder)
    for temporary in ("apt", "qemu", "wheels"):
        shutil.rmtree(folder / temporary, ignore_errors=True)
    launcher = folder / "python"
    launcher.write_text(LAUNCHER, encoding="utf-8")
    launcher.chmod(0o755)
    call(launcher, "-c", "import cv2, numpy, onnxruntime")


if __name__ == "__main__":
    main()
