"""Option names of `edgeinfer-export`, compared with a stored list."""

from __future__ import annotations

from edgeinfer_export.cli.app import app
from tools.contract import CONTRACT, option_names


def test_option_names() -> None:
    assert option_names(app) == CONTRACT["options"]["edgeinfer-export"]
