from __future__ import annotations

import subprocess
import sys

from edgeinfer.cli.notice import WIDTH, format_notice


def test_notice_contains_the_required_information() -> None:
    notice = format_notice(
        operator="Museum of Toys", contact="desk@museum.example", purpose="play " * 30, kept="counts, a week"
    )
    for words in ("Museum of Toys", "desk@museum.example", "counts, a week", "does not measure what you feel"):
        assert words in " ".join(notice.split())
    assert max(map(len, notice.splitlines())) <= WIDTH


def test_notice_command_requires_contact_and_purpose() -> None:
    command = [sys.executable, "-m", "edgeinfer", "notice", "--operator", "Ann"]
    assert subprocess.run(command, capture_output=True, check=False).returncode == 2
    complete = [*command, "--contact", "ann@example.org", "--purpose", "a game"]
    output = subprocess.run(complete, capture_output=True, check=True, text=True).stdout
    assert "Questions and objections: ann@example.org" in output
