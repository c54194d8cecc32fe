from __future__ import annotations

import gc
import threading
import weakref

import pytest

from tasks.finishers import Finishers


class Picture:
    """Something large that must not pile up."""


def test_work_is_done_and_waited_for() -> None:
    done: list[int] = []
    with Finishers() as finishers:
        for number in range(50):
            finishers.submit(done.append, number)
        finishers.drain()
    assert sorted(done) == list(range(50))


def test_no_more_waits_than_the_depth() -> None:
    gate, started = threading.Event(), []
    with Finishers(threads=1, depth=3) as finishers:
        feeder = threading.Thread(
            target=lambda: [finishers.submit(lambda n=n: (gate.wait(), started.append(n))) for n in range(10)]
        )
        feeder.start()
        feeder.join(0.2)
        assert feeder.is_alive()  # the fourth must wait
        gate.set()
        feeder.join(10)
        finishers.drain()
    assert len(started) == 10
    assert finishers.seconds["blocked"] >= 0.15


def test_the_first_error_stops_the_feeder_and_the_rest_is_finished() -> None:
    done: list[int] = []

    def work(number: int) -> None:
        if number == 3:
            raise OSError("the store is gone")
        done.append(number)

    def feed() -> None:
        with Finishers(threads=1, depth=2) as finishers:
            for number in range(100):
                finishers.submit(work, number)

    with pytest.raises(OSError, match="gone"):
        feed()
    assert len(done) < 10
    assert done[:3] == [0, 1, 2]


def test_an_error_at_the_very_end_is_raised_too() -> None:
    def fail() -> None:
        raise OSError("late")

    with Finishers() as finishers:
        finishers.submit(fail)
        with pytest.raises(OSError, match="late"):
            finishers.drain()


def test_finished_pictures_are_let_go() -> None:
    pictures = []
    with Finishers() as finishers:
        for _ in range(20):
            picture = Picture()
            pictures.append(weakref.ref(picture))
            finishers.submit(lambda _: None, picture)
            del picture
        finishers.drain()
        gc.collect()
        assert not [reference for reference in pictures if reference() is not None]
