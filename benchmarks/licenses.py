"""Licenses of the packages that the runtime and its extras install, from the metadata of the installed packages.

    python benchmarks/licenses.py [--extra train export ...] [--check]

The table in docs/licenses.md is replaced; with --check, nothing is written and the exit code is 1 if a package is
missing there. Packages that are not installed in this environment are named on stderr and left out.
"""

from __future__ import annotations

import argparse
import sys
import tomllib
from collections.abc import Collection
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]
DOCUMENT = ROOT / "docs" / "licenses.md"
START, END = "<!-- licenses -->\n", "<!-- end -->"
EXTRAS = ("mqtt", "osc", "accurate", "yunet", "video", "batch", "ray", "report", "train", "export", "docs")
LICENSE_TEXTS = {"namex": "Apache-2.0", "python-osc": "Unlicense"}
"""Licenses, as SPDX expressions, of packages whose metadata contain the text of the license instead of its name."""


def declared(extra: str) -> list[str]:
    """Return the requirements of the runtime (""), or of one of its extras and the extras that it includes."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lines = []
    for line in project["optional-dependencies"][extra] if extra else project["dependencies"]:
        requirement = Requirement(line)
        included = sorted(requirement.extras) if requirement.name == "edgeinfer" else None
        lines += [line] if included is None else [inner for name in included for inner in declared(name)]
    return lines


def collect(lines: list[str], found: dict[str, str], extras: Collection[str] = ()) -> set[str]:
    """Collect the licenses of required packages and their dependencies; return the names of missing packages."""
    missing: set[str] = set()
    for requirement in map(Requirement, lines):
        marker, name = requirement.marker, requirement.name.lower().replace("_", "-")
        if name in found or (marker and not any(marker.evaluate({"extra": extra}) for extra in ("", *extras))):
            continue
        try:
            found[name] = license_of(name)
            missing |= collect(metadata.requires(name) or [], found, requirement.extras)
        except metadata.PackageNotFoundError:
            missing.add(name)
    return missing


def license_of(package: str) -> str:
    """Return the license that the metadata of an installed package state: an SPDX expression or the classifiers."""
    fields = metadata.metadata(package)
    if package in LICENSE_TEXTS:
        return LICENSE_TEXTS[package]
    if "License-Expression" in fields:
        return fields["License-Expression"]
    classifiers = [line.rsplit(" :: ", 1)[-1] for line in fields.get_all("Classifier") or () if line.startswith("Lic")]
    text = " ".join((fields.get_all("License") or [""])[0].split())
    return ", ".join(classifiers) or (text if len(text) <= 60 else "see its license file") or "see its license file"


def table(extras: tuple[str, ...]) -> tuple[str, set[str]]:
    """Return the table, and the names of the packages that are not installed."""
    rows, listed, missing = ["| package | license | needed by |", "| --- | --- | --- |"], set[str](), set[str]()
    for extra in ("", *extras):
        found: dict[str, str] = {}
        missing |= collect(declared(extra), found)
        for name in sorted(found.keys() - listed):
            rows.append(f"| {name} | {found[name]} | {f'extra `{extra}`' if extra else 'runtime'} |")
        listed |= found.keys()
    return "\n".join(rows) + "\n", missing


def main() -> int:
    """Write or check the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--extra", nargs="+", choices=EXTRAS, default=list(EXTRAS))
    parser.add_argument("--check", action="store_true")
    options = parser.parse_args()
    text, missing = table(tuple(options.extra))
    for name in sorted(missing):
        print(f"{name} is not installed and was left out", file=sys.stderr)
    document = DOCUMENT.read_text(encoding="utf-8")
    before, _, rest = document.partition(START)
    old, _, after = rest.partition(END)
    if options.check:
        absent = [line.split(" | ")[0] for line in text.splitlines() if f"{line.split(' | ')[0]} | " not in old]
        print("\n".join(absent) or "every package is listed")
        return 1 if absent else 0
    DOCUMENT.write_text(f"{before}{START}{text}{END}{after}", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
