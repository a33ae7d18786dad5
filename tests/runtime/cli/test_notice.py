from __future__ import annotations

import subprocess
import sys

from edgeinfer.cli.notice import WIDTH, notice


def test_a_sign_holds_what_people_must_be_told() -> None:
    sign = notice(operator="Museum of Toys", contact="desk@museum.example", purpose="play " * 30, kept="counts, a week")
    for words in ("Museum of Toys", "desk@museum.example", "counts, a week", "does not know what you feel"):
        assert words in " ".join(sign.split())
    assert max(map(len, sign.splitlines())) <= WIDTH


def test_the_command_wants_to_know_who_and_why() -> None:
    command = [sys.executable, "-m", "edgeinfer", "notice", "--operator", "Ann"]
    assert subprocess.run(command, capture_output=True, check=False).returncode == 2
    told = [*command, "--contact", "ann@example.org", "--purpose", "a game"]
    assert "Ask or object: ann@example.org" in subprocess.run(told, capture_output=True, check=True, text=True).stdout
