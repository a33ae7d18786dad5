"""The guides keep their promises: programs run, commands and settings exist, quoted sentences are the program's own."""

from __future__ import annotations

import ast
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from edgeinfer.cli.app import app
from tools.patience import PATIENCE

ROOT = Path(__file__).parents[2]
GUIDES = {name: ROOT / "docs" / f"{name}.md" for name in ("raspberry-pi", "embedding", "troubleshooting")}
MAIN: Any = get_command(app)
FIXED = 12
"""Fewest characters of a sentence that do not depend on the case at hand."""
BEFORE = r"(edgeinfer: )?(warning: |lost: |stalled: )?|(note|problem) +\w+ +(.*; )?"
"""What stands before a sentence in the terminal."""


def text_of(guide: str) -> str:
    return GUIDES[guide].read_text(encoding="utf-8")


def blocks(guide: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", text_of(guide), re.DOTALL | re.MULTILINE)


def cases(language: str) -> list[Any]:
    return [
        pytest.param(block, id=f"{guide}-{number}")
        for guide in GUIDES
        for number, block in enumerate(blocks(guide, language), 1)
    ]


def split_commands(line: str) -> Iterator[list[str]]:
    """The simple commands of a line for the shell, also those within `sh -c`, without what starts them."""
    words = shlex.shlex(line, posix=True, punctuation_chars=";&|")
    words.whitespace_split = True
    command: list[str] = []
    for word in [*words, ";"]:
        if re.fullmatch(r"[;&|]+", word):
            yield from inner(command)
            command = []
        else:
            command.append(word)


def inner(command: list[str]) -> Iterator[list[str]]:
    while command and (command[0] == "sudo" or re.match(r"[A-Z_]+=", command[0])):
        command = command[1:]
    if command[:2] == ["sh", "-c"]:
        yield from split_commands(command[2])
    elif command:
        yield command


def shell_lines() -> Iterator[str]:
    for guide in GUIDES:
        yield from chain.from_iterable(block.splitlines() for block in blocks(guide, "sh"))
        yield from re.findall(r"(?<!`)`((?:sudo )?edgeinfer [^`\n]+)`(?!`)", text_of(guide))


COMMANDS = sorted({tuple(c[1:]) for line in shell_lines() for c in split_commands(line) if c[0] == "edgeinfer"})


def parse(arguments: list[str]) -> tuple[Any, Any]:
    """The command and its context; click raises for what it does not know."""
    context = MAIN.make_context("edgeinfer", list(arguments))
    command = MAIN
    while hasattr(command, "commands"):
        name, command, arguments = command.resolve_command(context, arguments)
        context = command.make_context(name, list(arguments), parent=context)
    return command, context


@pytest.mark.parametrize("program", cases("python"))
def test_programs_run(program: str, tmp_path: Path, clip: Path, face_picture: Path) -> None:
    shutil.copy(clip, tmp_path)
    shutil.copy(face_picture, tmp_path)
    (tmp_path / "program.py").write_text(program, encoding="utf-8")
    command = [sys.executable, "-W", "error", "program.py"]
    environment = os.environ | {"OPENCV_FFMPEG_LOGLEVEL": "-8", "OPENCV_LOG_LEVEL": "SILENT"}
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False, timeout=60 * PATIENCE
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout


def test_there_is_something_to_check() -> None:
    assert len(COMMANDS) >= 10
    assert len(cases("python")) >= 8


@pytest.mark.parametrize("arguments", COMMANDS, ids=" ".join)
def test_commands_exist(arguments: tuple[str, ...], tmp_path: Path) -> None:
    words = list(arguments)
    if words[0] == "run" and "--config" not in words:
        (tmp_path / "none.toml").touch()
        words += ["--config", str(tmp_path / "none.toml")]
    command, context = parse(words)
    if words[0] == "run":
        command.refuse(context.params)


def test_options_exist() -> None:
    known = {name for command in commands(MAIN) for p in command.params for name in (*p.opts, *p.secondary_opts)}
    spans = [span for guide in GUIDES for span in re.findall(r"`(--[^`\n]+)`", text_of(guide))]
    named = {name for span in spans for name in re.findall(r"--[a-z-]+", span)}
    assert named - known == set()


def commands(command: Any) -> Iterator[Any]:
    yield command
    for below in getattr(command, "commands", {}).values():
        yield from commands(below)


@pytest.mark.parametrize("settings", [pytest.param(b, id="raspberry-pi") for b in blocks("raspberry-pi", "toml")])
def test_settings_are_taken(settings: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in re.findall(r"^(EDGEINFER_\w+)=(.*)$", "".join(blocks("raspberry-pi", "ini")), re.MULTILINE):
        monkeypatch.setenv(name, value)
    (tmp_path / "config.toml").write_text(settings, encoding="utf-8")
    command, context = parse(["run", "--config", str(tmp_path / "config.toml")])
    command.refuse(context.params)


def test_variables_are_options_of_run() -> None:
    options = {f"EDGEINFER_{p.name.upper()}" for p in MAIN.commands["run"].params}
    named = {name for guide in GUIDES for name in re.findall(r"EDGEINFER_[A-Z_]+", text_of(guide))}
    assert named
    assert named - options == set()


def sentences() -> Iterator[str]:
    """Patterns of all texts in the package but docstrings; what is put into them at run time is left open."""
    for path in sorted((ROOT / "edgeinfer").rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        nodes = list(ast.walk(tree))
        passed = {id(n.value) for n in nodes if isinstance(n, ast.Expr)}
        passed |= {id(part) for n in nodes if isinstance(n, ast.JoinedStr) for part in ast.walk(n) if part is not n}
        for node in nodes:
            if id(node) in passed:
                continue
            if isinstance(node, ast.JoinedStr):
                yield from pattern([str(v.value) if isinstance(v, ast.Constant) else None for v in node.values])
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield from pattern(interleave(re.split(r"%[.\d]*[sdgf]", node.value)))


def interleave(parts: list[str]) -> list[str | None]:
    return [*chain.from_iterable((part, None) for part in parts)][:-1]


def pattern(parts: list[str | None]) -> Iterator[str]:
    if len("".join(part or "" for part in parts).replace(" ", "")) >= FIXED:
        yield "".join(".+" if part is None else re.escape(part) for part in parts)


def test_quoted_sentences_are_the_programs_own() -> None:
    known = re.compile(f"({BEFORE})({'|'.join(sentences())})")
    quoted = [line for guide in GUIDES for block in blocks(guide, "text") for line in block.splitlines() if line]
    assert len(quoted) > 20
    assert [line for line in quoted if not known.fullmatch(line)] == []


def anchors(path: Path) -> set[str]:
    """The names that a page's headings get where it is shown."""
    headings = re.findall(r"^#+ (.*)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("guide", GUIDES)
def test_links_lead_to_headings(guide: str) -> None:
    links = re.findall(r"\]\(([^)#:]*)#([^)]+)\)", text_of(guide))
    missing = [
        (to, name) for to, name in links if name not in anchors(GUIDES[guide].parent / to if to else GUIDES[guide])
    ]
    assert missing == []
