from __future__ import annotations

from tools.reference import REFERENCE, with_tables


def test_option_tables_of_the_reference_are_up_to_date() -> None:
    text = REFERENCE.read_text(encoding="utf-8")
    assert text == with_tables(text), "run: PYTHONPATH=tests python tests/tools/reference.py"
