"""Version of edgeinfer, and the commit of the checkout that it runs from."""

from __future__ import annotations

import subprocess
import tomllib
from importlib import metadata
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2] / "pyproject.toml"


def package_version() -> str:
    """Return the version, with the commit in a checkout.

    Returns:
        Version such as "0.2.0". In a git checkout, the commit follows as a local version (PEP 440), with ".dirty" if
        tracked files were changed: "0.2.0+g1a2b3c4.dirty". A wheel has no commit, even in a folder that git tracks.
    """
    try:
        project = tomllib.loads(PROJECT.read_text(encoding="utf-8"))["project"]
    except (OSError, ValueError, KeyError):
        project = {}
    if project.get("name") != "edgeinfer":
        return metadata.version("edgeinfer")
    commit, dirty, _ = source_commit(Path(__file__)).partition("-dirty")
    return f"{project['version']}{f'+g{commit[:7]}' if commit else ''}{'.dirty' if dirty else ''}"


def source_commit(source: Path) -> str:
    """Return the commit of the checkout that contains a file, with "-dirty" appended if tracked files were changed.

    Returns:
        40 hexadecimal digits, or "" if git does not track the file, or without git.
    """
    source = source.resolve()
    tracked = ["ls-files", "--error-unmatch", source.name]
    describe = ["describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        for arguments in (tracked, describe):
            done = subprocess.run(  # noqa: S603 - constant arguments
                ["git", *arguments],  # noqa: S607
                cwd=source.parent, capture_output=True, text=True, check=True, timeout=10,
            )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip()
