"""Tests of the guides: programs run, commands and settings are valid, quoted messages match the source code."""

from __future__ import annotations

import ast
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from edgeinfer.cli.app import app
from edgeinfer.cli.terminal import name_flags
from edgeinfer_export.cli.app import app as export_app
from edgeinfer_train.cli.app import app as train_app
from tools.patience import PATIENCE

ROOT = Path(__file__).parents[2]
PAGES_WITH_OTHER_PROGRAMS = {"batch", "data", "export"}
"""Pages whose programs need results or a data set; `test_batch_guide` and `test_documents` check these."""
GUIDES = {path.stem: path for path in sorted((ROOT / "docs").glob("*.md"))} | {
    "README": ROOT / "README.md", "train": ROOT / "train" / "README.md", "export": ROOT / "export" / "README.md",
}  # fmt: skip
MAIN: Any = get_command(app)
PROGRAMS: dict[str, Any] = {
    "edgeinfer": MAIN,
    "edgeinfer-train": get_command(train_app),
    "edgeinfer-export": get_command(export_app),
}
ASSIGNMENT = re.compile(r"([A-Z_]+)=(.*)")
MIN_LITERAL_CHARACTERS = 12
"""Minimum number of literal characters in a message pattern."""
PREFIX = r"(edgeinfer: )?(warning: |lost: |stalled: )?|(note|problem) +\w+ +(.*; )?"
"""Pattern of the text printed before a message in the terminal."""


def read_guide(guide: str) -> str:
    return GUIDES[guide].read_text(encoding="utf-8")


def code_blocks(guide: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", read_guide(guide), re.DOTALL | re.MULTILINE)


def code_block_cases(language: str) -> list[Any]:
    """Return the blocks of all guides except those with other programs."""
    return [
        pytest.param(block, id=f"{guide}-{number}")
        for guide in GUIDES
        if guide not in PAGES_WITH_OTHER_PROGRAMS
        for number, block in enumerate(code_blocks(guide, language), 1)
    ]


def split_commands(line: str) -> Iterator[list[str]]:
    """Yield the simple commands of a shell line, including those in `sh -c`, without sudo."""
    words = shlex.shlex(line, posix=True, punctuation_chars=";&|")
    words.whitespace_split = True
    command: list[str] = []
    for word in [*words, ";"]:
        if re.fullmatch(r"[;&|]+", word):
            yield from strip_prefix(command)
            command = []
        else:
            command.append(word)


def strip_prefix(command: list[str]) -> Iterator[list[str]]:
    if command[:1] == ["sudo"]:
        command = command[1:]
    if command[:2] == ["sh", "-c"]:
        yield from split_commands(command[2])
    elif command:
        yield command


def shell_lines() -> Iterator[str]:
    """Yield the lines of shell blocks and the inline `edgeinfer` commands, not headings and synopses with [ ] or |."""
    for guide in GUIDES:
        for block in code_blocks(guide, "sh"):
            yield from re.sub(r"\\\n\s*", " ", block).splitlines()
        text = re.sub(r"^#.*$", "", read_guide(guide), flags=re.MULTILINE)
        yield from re.findall(r"(?<!`)`((?:sudo )?edgeinfer [^`\n\[|]+)`(?!`)", text)


def program_of(command: Sequence[str]) -> str:
    """Return the first word of a command after its environment variables."""
    return next(word for word in [*command, ""] if not ASSIGNMENT.match(word))


COMMANDS = sorted({tuple(c) for line in shell_lines() for c in split_commands(line) if program_of(c) in PROGRAMS})


def parse(program: str, arguments: list[str]) -> tuple[Any, Any]:
    """Return the command and its context; click raises an error for an unknown command or option."""
    command = PROGRAMS[program]
    context = command.make_context(program, list(arguments))
    while hasattr(command, "commands"):
        name, command, arguments = command.resolve_command(context, arguments)
        context = command.make_context(name, list(arguments), parent=context)
    return command, context


@pytest.mark.parametrize("program", code_block_cases("python"))
def test_programs_run(program: str, tmp_path: Path, clip: Path, face_picture: Path) -> None:
    shutil.copy(clip, tmp_path)
    shutil.copy(face_picture, tmp_path)
    (tmp_path / "program.py").write_text(program, encoding="utf-8")
    command = [sys.executable, "-W", "error", "program.py"]
    environment = os.environ | {"OPENCV_FFMPEG_LOGLEVEL": "-8", "OPENCV_LOG_LEVEL": "SILENT"}
    if find_spec("supervision") is None:
        paths = (os.environ.get("PYTHONPATH"), str(Path(__file__).parent / "fakes"))
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, paths))
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False, timeout=60 * PATIENCE
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout


def test_guides_contain_commands_and_programs() -> None:
    assert len(COMMANDS) >= 10
    assert len(code_block_cases("python")) >= 8


@pytest.mark.parametrize("arguments", COMMANDS, ids=" ".join)
def test_commands_are_valid(
    arguments: tuple[str, ...], tmp_path: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = program_of(arguments)
    start = arguments.index(program)
    monkeypatch.chdir(tmp_path)
    for name in ("mine.onnx", "model.onnx"):
        shutil.copy(tiny_model, tmp_path / name)
    for assignment in arguments[:start]:
        monkeypatch.setenv(*assignment.split("=", 1))
    words = list(arguments[start + 1 :])
    if words[0] == "run" and "--config" not in words:
        (tmp_path / "none.toml").touch()
        words += ["--config", str(tmp_path / "none.toml")]
    command, context = parse(program, words)
    if words[0] == "run":
        command.check_combination(context.params)


def test_options_exist() -> None:
    known = {"--help"} | {
        name
        for program in PROGRAMS.values()
        for command in iterate_commands(program)
        for p in command.params
        for name in (*p.opts, *p.secondary_opts)
    }
    spans = [span for guide in GUIDES for span in re.findall(r"`(--[^`\n]+)`", read_guide(guide))]
    mentioned = {name for span in spans for name in re.findall(r"--[a-z-]+", span)}
    assert mentioned - known == set()


def iterate_commands(command: Any) -> Iterator[Any]:
    yield command
    for subcommand in getattr(command, "commands", {}).values():
        yield from iterate_commands(subcommand)


@pytest.mark.parametrize(
    "settings", [pytest.param(b, id=guide) for guide in ("raspberry-pi", "service") for b in code_blocks(guide, "toml")]
)
def test_settings_are_accepted(settings: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in re.findall(r"^(EDGEINFER_\w+)=(.*)$", "".join(code_blocks("raspberry-pi", "ini")), re.MULTILINE):
        monkeypatch.setenv(name, value)
    (tmp_path / "config.toml").write_text(settings, encoding="utf-8")
    command, context = parse("edgeinfer", ["run", "--config", str(tmp_path / "config.toml")])
    command.check_combination(context.params)


def test_environment_variables_are_options() -> None:
    options = {c.variable(p.name) for c in (MAIN.commands["run"], MAIN.commands["batch"]) for p in c.params}
    mentioned = {name for guide in GUIDES for name in re.findall(r"EDGEINFER_[A-Z_]+", read_guide(guide))}
    assert mentioned
    assert mentioned - options == set()


def message_patterns() -> Iterator[str]:
    """Yield a pattern for each string literal in the package except docstrings; interpolated values are wildcards."""
    for path in sorted((ROOT / "edgeinfer").rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        nodes = list(ast.walk(tree))
        ignored = {id(n.value) for n in nodes if isinstance(n, ast.Expr)}
        ignored |= {id(part) for n in nodes if isinstance(n, ast.JoinedStr) for part in ast.walk(n) if part is not n}
        for node in nodes:
            if id(node) in ignored:
                continue
            if isinstance(node, ast.JoinedStr):
                yield from build_pattern([str(v.value) if isinstance(v, ast.Constant) else None for v in node.values])
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield from build_pattern(interleave(re.split(r"%[.\d]*[sdgf]", node.value)))


def interleave(parts: list[str]) -> list[str | None]:
    return [*chain.from_iterable((part, None) for part in parts)][:-1]


def build_pattern(parts: list[str | None]) -> Iterator[str]:
    if len("".join(part or "" for part in parts).replace(" ", "")) >= MIN_LITERAL_CHARACTERS:
        yield "".join(".*" if part is None else re.escape(name_flags(part, MAIN)) for part in parts)


def test_quoted_messages_match_the_source_code() -> None:
    # Some messages continue a sentence that begins with the name of a source.
    message = re.compile(f"({PREFIX})(?:\\S+ (?=has |is ))?({'|'.join(message_patterns())})")
    quoted = [line for guide in GUIDES for block in code_blocks(guide, "text") for line in block.splitlines() if line]
    assert len(quoted) > 20
    assert [line for line in quoted if not message.fullmatch(line)] == []
