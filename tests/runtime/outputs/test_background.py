from __future__ import annotations

import threading

from edgeinfer.outputs.background import BackgroundQueue
from tools.patience import PATIENCE


def test_items_are_delivered_in_order_including_those_queued_at_close() -> None:
    delivered: list[int] = []
    queue = BackgroundQueue(delivered.append, name="test", capacity=100)
    for number in range(5):
        queue.put(number)
    queue.start()
    for number in range(5, 10):
        queue.put(number)
    assert queue.close(20 * PATIENCE) == 0
    assert delivered == list(range(10))


def test_full_queue_drops_the_oldest_items() -> None:
    delivered: list[int] = []
    drops: list[None] = []
    queue = BackgroundQueue(delivered.append, name="test", capacity=3, on_drop=lambda: drops.append(None))
    for number in range(5):
        queue.put(number)
    queue.start()
    assert queue.close(20 * PATIENCE) == 0
    assert (delivered, len(drops)) == ([2, 3, 4], 2)


def test_close_returns_at_its_timeout() -> None:
    released = threading.Event()

    def deliver(_: int) -> None:
        released.wait(60 * PATIENCE)

    queue = BackgroundQueue(deliver, name="test", capacity=3)
    queue.start()
    queue.put(1)
    queue.put(2)
    assert queue.close(0.05) in (1, 2)  # the first item may be in delivery
    assert queue.closing.is_set()
    released.set()


def test_close_before_start_returns_zero() -> None:
    assert BackgroundQueue(print, name="test", capacity=3).close(1.0) == 0


def test_error_in_one_item_neither_ends_the_thread_nor_is_lost() -> None:
    delivered: list[int] = []

    def deliver(number: int) -> None:
        if number < 2:
            raise ValueError(number)
        delivered.append(number)

    queue = BackgroundQueue(deliver, name="test", capacity=5)
    for number in range(4):
        queue.put(number)
    queue.start()
    assert queue.close(20 * PATIENCE) == 0
    assert delivered == [2, 3]
    assert isinstance(queue.error, ValueError)
    assert queue.error.args == (0,)
