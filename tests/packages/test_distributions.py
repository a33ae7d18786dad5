"""Content of the wheel and of the source archive, and the commands of an installed wheel outside a checkout."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]
PACKAGES = {"edgeinfer", "edgeinfer_train", "edgeinfer_export"}
pytestmark = pytest.mark.slow


def build(source: Path, target: str, folder: Path) -> Path:
    command = [sys.executable, "-m", "hatchling", "build", "--target", target, "--directory", str(folder)]
    subprocess.run(command, cwd=source, check=True, capture_output=True)
    (built,) = folder.iterdir()
    return built


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(ROOT, "sdist", tmp_path_factory.mktemp("sdist"))


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(ROOT, "wheel", tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with the content of the wheel; the packages of the extras for training and export are hidden."""
    folder = tmp_path_factory.mktemp("installed")
    with zipfile.ZipFile(wheel) as file:
        file.extractall(folder)
    hidden = "pandas", "keras", "tensorflow", "tf2onnx", "onnx", "matplotlib", "tomli_w"
    (folder / "sitecustomize.py").write_text(f"import sys\nsys.modules.update(dict.fromkeys({hidden!r}))\n")
    return folder


def run_installed(
    installed: Path, folder: Path, module: str, *arguments: str, other: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a command of the installed wheel; `other` is the folder with another package."""
    path = os.pathsep.join(str(each) for each in (installed, other) if each)
    environment = {**os.environ, "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-P", "-c", f"from {module} import main; main()", *arguments]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def test_source_archive_builds_the_same_wheel(archive: Path, wheel: Path, tmp_path: Path) -> None:
    with tarfile.open(archive) as file:
        file.extractall(tmp_path / "source", filter="data")
    (source,) = (tmp_path / "source").iterdir()
    assert build(source, "wheel", tmp_path / "wheel").read_bytes() == wheel.read_bytes()


def test_distributions_contain_no_generated_file(archive: Path, wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as file:
        names = file.namelist()
    assert {name.split("/")[0] for name in names if ".dist-info/" not in name} == PACKAGES
    with tarfile.open(archive) as file:
        names += file.getnames()
    assert [name for name in names if "cache" in name.rpartition("/")[0] or name.endswith(".pyc")] == []


def test_commands_work_outside_a_checkout(installed: Path, tmp_path: Path) -> None:
    shutil.copy(ROOT / "tests" / "assets" / "clip.mp4", tmp_path)
    for arguments, output in (
        ("run --max-frames 5 --out faces.jsonl", "wrote faces.jsonl"),
        ("bench --max-frames 5", "edgenet-ferplus-int8"),
        ("report faces.jsonl --out report.html", "report.html: 1 recording"),
        ("batch clip.mp4 --out results --max-frames 5 --workers 1", "done"),
        ("doctor", "edgenet-ferplus-int8"),
    ):
        done = run_installed(installed, tmp_path, "edgeinfer.__main__", *arguments.split())
        assert done.returncode == 0, done.stderr
        assert output in done.stdout
    version = run_installed(installed, tmp_path, "edgeinfer.__main__", "--version").stdout.strip()
    assert version.replace(".", "").isdigit(), "a wheel names no commit"


def test_larger_model_is_a_package_of_its_own(installed: Path, wheel: Path, tmp_path: Path) -> None:
    arguments = "edgeinfer.__main__", "models", "accurate"
    missing = run_installed(installed, tmp_path, *arguments)
    assert (missing.returncode, missing.stderr.count("\n")) == (3, 1)
    assert "pip install 'edgeinfer[accurate]'" in missing.stderr
    package = build(ROOT / "models" / "accurate", "wheel", tmp_path / "wheel")
    assert max(package.stat().st_size, wheel.stat().st_size) < 4_000_000
    with zipfile.ZipFile(package) as file:
        file.extractall(tmp_path / "site")
    (licenses,) = (tmp_path / "site").glob("*.dist-info/licenses")
    assert (licenses / "LICENSE").read_bytes() == (ROOT / "LICENSE").read_bytes()
    notice, whole = ((path / "NOTICE").read_text(encoding="utf-8") for path in (licenses, ROOT))
    assert [part for part in notice.strip().split("\n\n") if part not in whole] == []
    found = run_installed(installed, tmp_path, *arguments, other=tmp_path / "site")
    assert found.stdout.startswith("# accurate\n"), found.stderr


@pytest.mark.parametrize(
    ("module", "arguments", "extra"),
    [
        ("edgeinfer_train.cli.app", "fit data --run run", "train"),
        ("edgeinfer_train.cli.app", "evaluate model.keras data", "train"),
        ("edgeinfer_train.cli.app", "prepare folder data --out prepared", "train"),
        ("edgeinfer_export.cli.app", "convert model.keras --out model.onnx", "export"),
    ],
)
def test_missing_extra_is_named_in_one_line(
    installed: Path, tmp_path: Path, module: str, arguments: str, extra: str
) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "model.keras").touch()
    done = run_installed(installed, tmp_path, module, *arguments.split())
    assert done.returncode == 3
    assert done.stderr.count("\n") == 1
    assert f"pip install 'edgeinfer[{extra}]'" in done.stderr


def read_project(folder: Path) -> dict[str, Any]:
    project: dict[str, Any] = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return project


def test_version_is_the_same_in_all_files() -> None:
    project = read_project(ROOT)
    version = project["version"]
    assert read_project(ROOT / "models" / "accurate")["version"] == version
    assert Requirement(project["optional-dependencies"]["accurate"][0]).specifier.contains(version)
    assert f"\nversion: {version}\n" in (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert (
        re.findall(r"^## \[([\d.]+)\]", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)[0] == version
    )
