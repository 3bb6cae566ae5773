"""The line of totals: while there is work, and at the end."""

from __future__ import annotations

import logging

import pytest

from worker.clock import FakeClock
from worker.faust_app.totals import Totals
from worker.metrics import Metrics


class World:
    """Totals every ten seconds, of metrics that the test sets."""

    def __init__(self, caplog: pytest.LogCaptureFixture, interval_s: float = 10.0) -> None:
        caplog.set_level(logging.INFO)
        self._caplog = caplog
        self.clock = FakeClock()
        self.metrics = Metrics()
        self.totals = Totals(self.metrics, interval_s, self.clock)

    def lines(self, seconds: int = 0) -> list[tuple[str, int, int, int, float, int | None]]:
        """Message and figures of what was said since the last call, after so many seconds with a look in each."""
        for _ in range(seconds):
            self.clock.advance(1.0)
            self.totals.look()
        records = [(record.getMessage(), record.__dict__) for record in self._caplog.records]
        self._caplog.clear()
        return [(said, r["in"], r["out"], r["dead"], r["rate"], r.get("lag")) for said, r in records]


@pytest.fixture
def world(caplog: pytest.LogCaptureFixture) -> World:
    return World(caplog)


def test_there_is_a_line_for_each_interval_while_something_is_done(world: World) -> None:
    world.metrics.events_in.inc(120)
    world.metrics.events_out.inc(97)
    world.metrics.tombstones.inc(2)
    world.metrics.dead_letters.labels("not_json").inc()
    world.metrics.lag.labels("0").set(7)
    world.metrics.lag.labels("1").set(13)
    assert world.lines(10) == [("events so far", 120, 99, 1, 10.0, 20)]
    world.metrics.lag.clear()
    world.metrics.events_out.inc(5)
    assert world.lines(9) == []
    assert world.lines(1) == [("events so far", 120, 104, 1, 0.5, 0)]


def test_nothing_is_said_where_there_is_nothing_to_do(world: World) -> None:
    assert world.lines(60) == []


def test_lag_that_stays_is_work(world: World) -> None:
    world.metrics.lag.labels("0").set(7)
    assert world.lines(30) == [("events so far", 0, 0, 0, 0.0, 7)] * 3


def test_the_end_is_told_even_where_the_interval_is_off(caplog: pytest.LogCaptureFixture) -> None:
    world = World(caplog, interval_s=0.0)
    world.metrics.events_in.inc(10)
    world.totals.stand(25)
    assert world.lines(100) == []
    world.metrics.events_out.inc(10)
    world.totals.end()
    assert world.lines() == [("events in all", 10, 10, 0, 0.1, 15)]


def test_an_end_before_the_first_look_tells_no_lag(world: World) -> None:
    world.metrics.events_in.inc(400)
    world.metrics.dead_letters.labels("text_missing").inc(200)
    world.clock.advance(1.0)
    world.totals.end()
    assert world.lines() == [("events in all", 400, 0, 200, 200.0, None)]
