from __future__ import annotations

import pytest

from edgeinfer import UsageError
from edgeinfer.sources.retry import Patience, Retries, parse_retries
from edgeinfer.units import backoff_s


def test_backoff_doubles_up_to_a_minute() -> None:
    assert [backoff_s(failures, lambda: 0.5) for failures in (1, 2, 3, 6, 7, 1000)] == [1, 2, 4, 32, 60, 60]


@pytest.mark.parametrize(
    ("random_share", "pauses"), [(0.0, [1.0, 1.5, 48.0]), (1.0, [1.25, 2.5, 60.0])], ids=["low", "high"]
)
def test_backoff_varies_by_a_quarter_within_its_bounds(random_share: float, pauses: list[float]) -> None:
    assert [backoff_s(failures, lambda: random_share) for failures in (1, 2, 7)] == pauses


@pytest.mark.parametrize(
    ("retries", "opened", "failures", "allowed"),
    [
        (None, False, 1, False),
        (None, True, 5, True),
        (None, True, 6, False),
        (0, True, 1, False),
        (2, False, 2, True),
        (2, False, 3, False),
        ("forever", False, 10**6, True),
    ],
    ids=["default-never-opened", "default-lost", "default-exhausted", "none", "limit", "limit-exhausted", "forever"],
)
def test_retry_limit(retries: Retries | None, opened: bool, failures: int, allowed: bool) -> None:
    assert Patience(retries=retries).allows(failures, opened=opened) is allowed


@pytest.mark.parametrize(
    "invalid", [{"stall_s": 0.0}, {"open_s": 4000.0}, {"stall_s": float("nan")}, {"retries": -1}], ids=str
)
def test_values_out_of_range_are_rejected(invalid: dict[str, float]) -> None:
    with pytest.raises(UsageError):
        Patience(**invalid)  # type: ignore[arg-type]


def test_retries_are_a_number_or_forever() -> None:
    assert [parse_retries(text) for text in ("0", "12", "forever")] == [0, 12, "forever"]
    for invalid in ("-1", "often", "", "1.5"):
        with pytest.raises(UsageError, match="invalid number of retries"):
            parse_retries(invalid)
