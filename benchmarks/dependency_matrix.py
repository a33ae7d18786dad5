"""Runtime tests with the lowest declared and the newest dependencies that have wheels, on several Python versions.

    python benchmarks/dependency_matrix.py [--python 3.11 3.12] [--resolution lowest-direct highest] [-- OPTION...]

For each combination, uv creates an environment in build/matrix, installs the wheel with the extras of the runtime, and
runs tests/runtime in it. Options of pytest follow `--`, for example `-- -m "not slow"`. Python versions that are not
installed are named and left out.
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

import common

ROOT = Path(__file__).parents[1]
ENVIRONMENTS = ROOT / "build" / "matrix"
EXTRAS = ("mqtt", "osc", "yunet", "video", "batch", "ray", "report")
RESOLUTIONS = {"lowest-direct": "lowest", "highest": "newest"}
"""Names in the table of the resolutions of uv."""


def run(*command: str | Path, folder: Path = ROOT) -> str:
    """Run a command and return its output; raise SystemExit with its messages if it fails."""
    done = subprocess.run(list(map(str, command)), cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(map(str, command))} failed:\n{done.stdout}{done.stderr}")
    return done.stdout


def direct_dependencies() -> set[str]:
    """Return the names of the packages that the runtime and its extras declare."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    lines = [*project["dependencies"], *(line for extra in EXTRAS for line in extras[extra])]
    return {re.split(r"[^\w.-]", line)[0] for line in lines}


def build_wheel() -> Path:
    """Build the wheel of the checkout."""
    ENVIRONMENTS.mkdir(parents=True, exist_ok=True)
    for old in ENVIRONMENTS.glob("*.whl"):
        old.unlink()
    run("uv", "build", "--quiet", "--wheel", "--out-dir", ENVIRONMENTS, ".")
    (wheel,) = ENVIRONMENTS.glob("*.whl")
    return wheel


def test_combination(wheel: Path, python: str, resolution: str, options: list[str]) -> dict[str, Any]:
    """Install the wheel with one resolution and return the versions and the last line of the tests."""
    folder = ENVIRONMENTS / f"{python}-{resolution}"
    program = folder / "bin" / "python"
    run("uv", "venv", "--quiet", "--clear", "--python", python, folder)
    install = ("uv", "pip", "install", "--quiet", "--python", program)
    # The dependencies of a wheel are not direct ones; those of pyproject.toml are. Old releases have no wheels for
    # new versions of Python, and are not built here.
    extras = [word for extra in EXTRAS for word in ("--extra", extra)]
    run(*install, "--resolution", resolution, "--only-binary", ":all:", "-r", "pyproject.toml", *extras)
    run(*install, "--no-deps", wheel)
    run(*install, "pytest>=8.3", "pytest-xdist>=3.6")
    listed = json.loads(run("uv", "pip", "list", "--quiet", "--python", program, "--format", "json"))
    wanted = direct_dependencies()
    command = [program, "-m", "pytest", "-q", "-c", "../pyproject.toml", "--rootdir", "..", "runtime", *options]
    done = subprocess.run(list(map(str, command)), cwd=ROOT / "tests", capture_output=True, text=True, check=False)
    (folder / "pytest.log").write_text(done.stdout + done.stderr, encoding="utf-8")
    return {
        "python": run(program, "-c", "import platform; print(platform.python_version())").strip(),
        "resolution": resolution,
        "versions": {package["name"]: package["version"] for package in listed if package["name"] in wanted},
        "passed": done.returncode == 0,
        "summary": re.sub(r" in [\d.]+s.*", "", done.stdout.strip().rsplit("\n", 1)[-1]),
    }


def table(results: dict[str, Any]) -> str:
    """Return the table of the documentation, from the saved results, with one column per combination."""
    runs = results["dependencies"]["runs"]
    names = sorted({name for run in runs for name in run["versions"]})
    rows = [
        *((name, *(run["versions"].get(name, "") for run in runs)) for name in names),
        ("tests", *(run["summary"] for run in runs)),
    ]
    return common.table(("", *(f"Python {run['python']}, {RESOLUTIONS[run['resolution']]}" for run in runs)), rows)


def main() -> int:
    """Run the tests with every combination, print the table and save it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", nargs="+", default=["3.11", "3.12", "3.13"])
    parser.add_argument("--resolution", nargs="+", choices=list(RESOLUTIONS), default=list(RESOLUTIONS))
    parser.add_argument("pytest", nargs="*", help="options of pytest, after --")
    options = parser.parse_args()
    wheel, results = build_wheel(), []
    for python in options.python:
        found = subprocess.run(["uv", "python", "find", python], capture_output=True, check=False)
        if found.returncode:
            print(f"Python {python} is not installed and was left out", file=sys.stderr)
            continue
        for resolution in options.resolution:
            results.append(test_combination(wheel, python, resolution, options.pytest))
            print(f"Python {python}, {resolution}: {results[-1]['summary']}", file=sys.stderr, flush=True)
    figures = {"runs": results, "options": options.pytest}
    common.save_results("dependencies", figures)
    print(table({"dependencies": figures}))
    return 0 if all(result["passed"] for result in results) else 1


if __name__ == "__main__":
    sys.exit(main())
