"""Tests of the reliability page: the tests and make targets that it names exist."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "reliability.md").read_text(encoding="utf-8")


def test_named_tests_exist() -> None:
    named = re.findall(r"`(tests/[^`:]*)(?:::(\w+))?`", PAGE)
    assert len(named) > 30
    missing = [path for path, _ in named if not (ROOT / path).exists()]
    assert missing == []
    assert [name for path, name in named if name and f"\ndef {name}(" not in (ROOT / path).read_text()] == []


def test_every_guarantee_has_a_test() -> None:
    sections = re.split(r"^## ", PAGE, flags=re.MULTILINE)[1:]
    assert len(sections) == 8
    assert [section.splitlines()[0] for section in sections if "`tests/" not in section] == []


def test_make_targets_exist() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    assert {"fuzz", "test"} <= set(re.findall(r"`make ([a-z-]+)", PAGE)) <= targets
