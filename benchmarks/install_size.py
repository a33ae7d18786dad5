"""Size of the wheels of the runtime on x86-64 and on a 64-bit Raspberry Pi.

    python benchmarks/install_size.py

For each platform, pip downloads the wheels that `pip install .` would install.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

from common import save_results

ROOT = Path(__file__).parents[1]
PLATFORMS = {
    "aarch64": ("manylinux_2_28_aarch64", "manylinux_2_27_aarch64", "manylinux_2_17_aarch64", "manylinux2014_aarch64"),
    "x86_64": ("manylinux_2_28_x86_64", "manylinux_2_27_x86_64", "manylinux_2_17_x86_64", "manylinux2014_x86_64"),
}


def wheels(platforms: tuple[str, ...]) -> dict[str, int]:
    """Return the size in bytes of each wheel, by file name, for Python 3.11."""
    dependencies = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["dependencies"]
    with tempfile.TemporaryDirectory() as folder:
        tags = [word for platform in platforms for word in ("--platform", platform)]
        fixed = ["--only-binary=:all:", "--python-version", "3.11", "--implementation", "cp", "--dest", folder]
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", *fixed, *tags]
        subprocess.run([*command, *dependencies], check=True)
        return {path.name: path.stat().st_size for path in sorted(Path(folder).iterdir())}


def main() -> None:
    """Run the benchmark."""
    figures = {}
    for name, platforms in PLATFORMS.items():
        sizes = wheels(platforms)
        figures[name] = {"total_mb": sum(sizes.values()) / 1e6, "wheels": sizes}
        print(f"{name}: {sum(sizes.values()) / 1e6:.1f} MB in {len(sizes)} wheels")
        for wheel, size in sorted(sizes.items(), key=lambda item: -item[1])[:5]:
            print(f"  {size / 1e6:6.1f} MB  {wheel}")
    save_results("install_size", figures)


if __name__ == "__main__":
    main()
