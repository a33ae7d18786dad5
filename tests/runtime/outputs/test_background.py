from __future__ import annotations

import threading

from edgeinfer.outputs.background import BackgroundQueue
from tools.patience import PATIENCE


def test_items_arrive_in_their_order_also_those_that_wait_at_the_end() -> None:
    arrived: list[int] = []
    outbox = BackgroundQueue(arrived.append, name="test", most=100)
    for number in range(5):
        outbox.put(number)
    outbox.start()
    for number in range(5, 10):
        outbox.put(number)
    assert outbox.close(20 * PATIENCE) == 0
    assert arrived == list(range(10))


def test_of_too_many_the_oldest_go() -> None:
    arrived: list[int] = []
    gone: list[None] = []
    outbox = BackgroundQueue(arrived.append, name="test", most=3, dropped=lambda: gone.append(None))
    for number in range(5):
        outbox.put(number)
    outbox.start()
    assert outbox.close(20 * PATIENCE) == 0
    assert (arrived, len(gone)) == ([2, 3, 4], 2)


def test_closing_waits_no_longer_than_it_may() -> None:
    let_go = threading.Event()

    def deliver(_: int) -> None:
        let_go.wait(60 * PATIENCE)

    outbox = BackgroundQueue(deliver, name="test", most=3)
    outbox.start()
    outbox.put(1)
    outbox.put(2)
    assert outbox.close(0.05) in (1, 2)  # the first may be on its way
    assert outbox.closing.is_set()
    let_go.set()


def test_closing_one_that_was_never_started() -> None:
    assert BackgroundQueue(print, name="test", most=3).close(1.0) == 0
