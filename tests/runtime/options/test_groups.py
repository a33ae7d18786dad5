from __future__ import annotations

import inspect
import pkgutil
import subprocess
import sys
from dataclasses import dataclass
from typing import ClassVar

import pytest
import typer

from edgeinfer import load_pipeline
from edgeinfer.cli.app import app
from edgeinfer.cli.parameters import GroupedCommand, expand_groups
from edgeinfer.errors import UsageError
from edgeinfer.options.fields import option, option_fields
from edgeinfer.options.groups import RUN_GROUPS, DetectionOptions, ModelOptions
from edgeinfer.units import parse_size

FIELDS = [field for group in RUN_GROUPS for field in option_fields(group)]


def test_option_names_are_unique() -> None:
    names = [field.name for field in FIELDS]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("field", [f for f in FIELDS if isinstance(f.option.check, str)], ids=lambda f: f.name)
def test_named_checks_can_be_imported(field) -> None:  # type: ignore[no-untyped-def]
    assert callable(pkgutil.resolve_name(field.option.check))


def test_pipeline_options_match_the_parameters_of_load_pipeline() -> None:
    parameters = inspect.signature(load_pipeline).parameters
    options = {f.name: f for group in (DetectionOptions, ModelOptions) for f in option_fields(group)}
    assert set(parameters) - set(options) == {"track"}
    assert set(options) <= set(parameters)
    same = {name for name in options if parameters[name].default == options[name].default}
    assert same == set(options) - {"threads"}, "the command line leaves `threads` to the machine"


def test_every_option_reaches_the_run_command() -> None:
    run = typer.main.get_command(app).commands["run"]  # type: ignore[attr-defined]
    flags = {flag for parameter in run.params for flag in parameter.opts}
    assert {field.flag for field in FIELDS} <= flags


@dataclass(frozen=True, kw_only=True)
class _Sizes:
    title: ClassVar[str] = "Sizes"

    limits: tuple[str, ...] = option((), "Size limits.", check=parse_size, metavar="SIZE")
    level: int = option(2, "Level.", minimum=1, maximum=3, metavar="N")
    loud: bool = option(False, "Be loud.")


def _call(*arguments: str) -> tuple[_Sizes, str]:
    received: list[tuple[_Sizes, str]] = []
    sizes = typer.Typer(rich_markup_mode=None)

    @sizes.command(cls=GroupedCommand)
    @expand_groups
    def measure(name: str = "x", *, sizes: _Sizes) -> None:
        received.append((sizes, name))

    sizes(list(arguments), standalone_mode=False)
    return received[0]


def test_groups_are_built_from_the_command_line() -> None:
    assert _call() == (_Sizes(), "x")
    built = _call("--name", "y", "--limits", "5MB", "--limits", "1kB", "--level", "3", "--loud")
    assert built == (_Sizes(limits=("5MB", "1kB"), level=3, loud=True), "y")


def test_each_item_of_a_list_is_checked() -> None:
    with pytest.raises(UsageError):
        _call("--limits", "5MB", "--limits", "large")


def test_options_load_no_heavy_package() -> None:
    code = "import sys, edgeinfer.options.groups\nprint({'cv2', 'numpy', 'onnxruntime', 'typer'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
