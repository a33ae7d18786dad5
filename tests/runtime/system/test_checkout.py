"""Version and commit of an installation."""

from __future__ import annotations

import re
import subprocess
from importlib import metadata
from pathlib import Path

import pytest

from edgeinfer.system import checkout
from edgeinfer.system.checkout import package_version
from tools.cli import edgeinfer
from tools.programs import require_program


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Copy of the module in an empty checkout of its own."""
    require_program("git")
    path = tmp_path / "edgeinfer" / "system" / "checkout.py"
    path.parent.mkdir(parents=True)
    path.write_text("")
    monkeypatch.setattr(checkout, "__file__", str(path))
    monkeypatch.setattr(checkout, "PROJECT", tmp_path / "pyproject.toml")
    git(tmp_path, "init")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "--message", "one")
    return path


def git(folder: Path, *arguments: str) -> None:
    name = ["-c", "user.name=test", "-c", "user.email=test@example.com"]
    subprocess.run(["git", *name, *arguments], cwd=folder, check=True, capture_output=True)


def test_version_of_a_checkout_names_commit_and_changes(module: Path) -> None:
    checkout.PROJECT.write_text('[project]\nname = "edgeinfer"\nversion = "7.8.9"\n')
    assert re.fullmatch(r"7\.8\.9\+g[0-9a-f]{7}", package_version())
    module.write_text("changed")
    assert re.fullmatch(r"7\.8\.9\+g[0-9a-f]{7}\.dirty", package_version())


@pytest.mark.parametrize("project", [None, '[project]\nname = "other"\nversion = "1"\n', "[tool]\n", "["])
def test_version_of_a_wheel_names_no_commit(module: Path, project: str | None) -> None:
    if project is not None:
        checkout.PROJECT.write_text(project)
    assert package_version() == metadata.version("edgeinfer")


def test_sources_without_git_have_a_plain_version(module: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checkout.PROJECT.write_text('[project]\nname = "edgeinfer"\nversion = "7.8.9"\n')
    monkeypatch.setenv("PATH", "")
    assert package_version() == "7.8.9"


def test_version_is_one_line() -> None:
    assert edgeinfer("--version").stdout == f"{package_version()}\n"
