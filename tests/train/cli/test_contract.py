from __future__ import annotations

import subprocess
import sys
from dataclasses import fields
from typing import Any

import pytest
import typer

from edgeinfer.options.fields import option_fields
from edgeinfer_train.cli.app import app
from edgeinfer_train.config import FitConfig
from tools.contract import CONTRACT, option_names


def test_option_names() -> None:
    assert option_names(app) == CONTRACT["options"]["edgeinfer-train"]


def test_fit_options_are_settings_of_the_configuration() -> None:
    options = {field.name: field for field in option_fields(FitConfig)}
    settings = {field.name: field.default for field in fields(FitConfig)}
    assert {name: field.default for name, field in options.items()} == {name: settings[name] for name in options}
    assert {field.flag for field in options.values()} <= set(option_names(app)["fit"])


def test_list_of_commands_has_their_own_summaries() -> None:
    group: Any = typer.main.get_command(app)
    for name, (_, summary) in group.entries.items():
        assert group.commands[name].help.splitlines()[0] == summary


@pytest.mark.parametrize("command", ["prepare", "label", "fit", "evaluate", "compare"])
def test_help_loads_no_numerical_package(command: str) -> None:
    code = (
        f"import sys\nfrom edgeinfer_train.cli.app import app\ntry:\n    app(['{command}', '--help'])\n"
        "except SystemExit:\n    print([name for name in ('numpy', 'cv2', 'tensorflow') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
