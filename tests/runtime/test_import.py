"""Public names of the package."""

from __future__ import annotations

import subprocess
import sys

HEAVY = ("tensorflow", "keras", "tf2onnx", "onnx", "pandas", "matplotlib", "typer")


def test_import_loads_no_heavy_package() -> None:
    code = f"import sys, edgeinfer; print([m for m in {HEAVY!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
    assert done.stderr == ""


def test_public_names_exist_and_have_docstrings() -> None:
    import edgeinfer

    assert sorted(edgeinfer.__all__) == sorted(set(edgeinfer.__all__))
    for name in edgeinfer.__all__:
        member = getattr(edgeinfer, name)
        assert name == "LABELS" or (member.__doc__ or "").strip(), name
