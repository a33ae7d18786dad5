"""Ranges of numbers in settings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from edgeinfer.errors import one_line, path_text
from edgeinfer_train.errors import ConfigError

_SHOWN_CHARACTERS = 60


@dataclass(frozen=True, slots=True)
class Range:
    """Interval of valid numbers.

    Attributes:
        low: Lower bound.
        high: Upper bound.
        above: True if the lower bound itself is invalid.
        below: True if the upper bound itself is invalid.
    """

    low: float
    high: float
    above: bool = False
    below: bool = False

    def __contains__(self, value: float) -> bool:
        """Return True if a number is in the interval; NaN never is."""
        low = value > self.low if self.above else value >= self.low
        return low and (value < self.high if self.below else value <= self.high)

    def __str__(self) -> str:
        """Describe the interval."""
        if self.above:
            return f"a value above {self.low:g}, at most {self.high:,.10g}"
        if self.high == 1:
            return f"a value from {self.low:g} to {'below ' if self.below else ''}1"
        return f"{self.low:g} or more, at most {self.high:,.10g}"

    def check(self, name: str, value: float) -> None:
        """Raise `ConfigError` if a setting is outside the interval.

        Args:
            name: Name of the setting for the message.
            value: Value of the setting.
        """
        if value not in self:
            raise ConfigError(f"{name} is {shown_value(value)}: expected {self}")


def shown_value(value: Any) -> str:
    """Return the value of a setting for a message, on one line and with at most 60 characters."""
    try:
        text = one_line(path_text(repr(value)))
    except (ValueError, RecursionError):  # integers of more than 4300 digits have no decimal text
        return "too large to be shown"
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}..."
