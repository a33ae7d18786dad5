"""Suppression of stderr."""

from __future__ import annotations

import logging
import os
import sys
import warnings

import pytest

from edgeinfer.system.stderr import silenced

_log = logging.getLogger(__name__)


def test_native_only_keeps_stdout_and_restores_stderr(capfd: pytest.CaptureFixture[str]) -> None:
    with silenced(native_only=True) as stream:
        os.write(2, b"native line\n")
        print("result", flush=True)
        print("message", file=stream)
    os.write(2, b"after\n")
    out, err = capfd.readouterr()
    assert out == "result\n"
    assert err == "message\nafter\n"


def test_silenced_block_discards_all_python_output(capfd: pytest.CaptureFixture[str]) -> None:
    with silenced() as stream:
        os.write(2, b"native line\n")
        print("printed")
        print("printed", file=sys.stderr)
        _log.critical("logged")
        warnings.warn("warned", stacklevel=1)
        print("message", file=stream)
    out, err = capfd.readouterr()
    assert out == ""
    assert err == "message\n"


def test_output_is_restored_after_an_exception(
    capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(ValueError, match="broken"), silenced():
        raise ValueError("broken")
    _log.warning("logged")
    print("printed")
    os.write(2, b"native line\n")
    assert [record.message for record in caplog.records] == ["logged"]
    assert capfd.readouterr() == ("printed\n", "native line\n")


def test_closed_stderr_is_not_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_descriptor: int) -> int:
        raise OSError("Bad file descriptor")

    monkeypatch.setattr(os, "dup", refuse)
    with silenced() as stream:
        print("lost", file=stream)
