"""Size of the wheels of the runtime on each platform.

    python benchmarks/install_size.py [--platform linux_aarch64 win_amd64 ...] [--python 3.11] [--extra video ...]

For each platform, pip resolves the wheels that `pip install edgeinfer` would install there, without downloading them;
their sizes are those that the package index states. A dependency without a wheel for a platform is named, and the
command exits with 1 if a platform was not resolved. Markers such as `sys_platform` are evaluated for this machine:
colorama, 25 kB on Windows, is left out.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit
from urllib.request import Request, url2pathname, urlopen

from common import save_results

ROOT = Path(__file__).parents[1]
LINUX = ("manylinux_2_28", "manylinux_2_27", "manylinux_2_17", "manylinux2014")
PLATFORMS = {
    **{f"linux_{machine}": tuple(f"{tag}_{machine}" for tag in LINUX) for machine in ("aarch64", "x86_64")},
    "linux_armv7l": ("manylinux_2_31_armv7l", "manylinux2014_armv7l", "linux_armv7l"),
    "win_amd64": ("win_amd64",),
    "win_arm64": ("win_arm64",),
    # pip accepts the wheels of older systems too.
    "macosx_arm64": ("macosx_15_0_arm64",),
    "macosx_x86_64": ("macosx_15_0_x86_64",),
}
"""Platform tags by name; `linux_armv7l` is 32-bit Raspberry Pi OS."""


class ResolutionError(Exception):
    """A platform without wheels for all requirements."""


def resolve(requirements: list[str], tags: tuple[str, ...], python: str) -> list[str]:
    """Return the addresses of the wheels of requirements and of their dependencies.

    Raises:
        ResolutionError: pip found no set of wheels; the message is its last line.
    """
    fixed = ["--dry-run", "--ignore-installed", "--only-binary=:all:", "--target", "unused", "--report", "-"]
    machine = ["--python-version", python, *(word for tag in tags for word in ("--platform", tag))]
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *fixed, *machine]
    done = subprocess.run([*command, *requirements], capture_output=True, text=True, check=False)
    if done.returncode:
        raise ResolutionError((done.stderr.strip() or "pip printed no reason").splitlines()[-1])
    return [package["download_info"]["url"] for package in json.loads(done.stdout)["install"]]


def size_of(url: str) -> int:
    """Return the size of a wheel in bytes, from the headers of the index or from the file."""
    if urlsplit(url).scheme == "file":
        return Path(url2pathname(urlsplit(url).path)).stat().st_size
    with urlopen(Request(url, method="HEAD"), timeout=60) as answer:  # noqa: S310 - addresses from pip
        return int(answer.headers["Content-Length"])


def missing(requirements: list[str], tags: tuple[str, ...], python: str) -> dict[str, str]:
    """Return the requirements that have no wheel, each with the last line of pip's output."""
    reasons = {}
    for requirement in requirements:
        try:
            resolve([requirement], tags, python)
        except ResolutionError as error:
            reasons[requirement] = str(error)
    return reasons


def measure(requirements: list[str], platform: str, python: str) -> dict[str, Any]:
    """Return the sizes of the wheels of a platform, or its missing requirements; print both."""
    tags = PLATFORMS[platform]
    try:
        wheels = {unquote(url.rsplit("/", 1)[-1]): size_of(url) for url in resolve(requirements, tags, python)}
    except ResolutionError as error:
        absent = missing(requirements, tags, python)
        print(f"{platform}: not installable on Python {python}")
        for requirement, reason in (absent or {"all together": str(error)}).items():
            print(f"  no wheel for {requirement}: {reason}")
        return {"missing": sorted(absent)}
    print(f"{platform}: {sum(wheels.values()) / 1e6:.1f} MB in {len(wheels)} wheels")
    for wheel, size in sorted(wheels.items(), key=lambda item: -item[1])[:5]:
        print(f"  {size / 1e6:6.1f} MB  {wheel}")
    return {"total_mb": sum(wheels.values()) / 1e6, "wheels": dict(sorted(wheels.items()))}


def table(results: dict[str, Any]) -> str:
    """Return the table of the documentation, from the saved results."""
    rows = ["| platform of the wheels | wheels | size |", "| --- | --- | --- |"]
    for name, figures in results["install_size"]["platforms"].items():
        absent = ", ".join(re.split(r"[^\w-]", requirement)[0] for requirement in figures.get("missing", ()))
        size = f"no wheel of {absent}" if absent else f"{figures['total_mb']:.0f} MB"
        rows.append(f"| `{name}` | {len(figures.get('wheels', ())) or ''} | {size} |")
    return "\n".join(rows)


def main() -> int:
    """Run the benchmark."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--platform", nargs="+", choices=PLATFORMS, default=list(PLATFORMS))
    parser.add_argument("--python", default="3.11", metavar="X.Y")
    parser.add_argument("--extra", nargs="+", choices=extras, default=[])
    options = parser.parse_args()
    requirements = [*project["dependencies"], *(line for extra in options.extra for line in extras[extra])]
    figures = {platform: measure(requirements, platform, options.python) for platform in options.platform}
    save_results("install_size", {"python": options.python, "extras": options.extra, "platforms": figures})
    return 1 if any("missing" in figure for figure in figures.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
