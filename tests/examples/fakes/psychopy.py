"""Fake PsychoPy that prints each stimulus when it becomes visible."""

from __future__ import annotations

from typing import Any


class visual:  # noqa: N801 - the name of PsychoPy's module
    class Window:
        def __init__(self, *, fullscr: bool) -> None:
            assert fullscr
            self.drawn = ""

        def flip(self) -> None:
            print(f"shown {self.drawn}", flush=True)

    class TextStim:
        kind = "text"

        def __init__(self, window: Any, content: str) -> None:
            self._window, self._content = window, content

        def draw(self) -> None:
            self._window.drawn = f"{self.kind} {self._content}"

    class ImageStim(TextStim):
        kind = "picture"
