"""What is concluded from a time that a topic has refused, and for how long."""

from __future__ import annotations

import pytest

from worker.clock import FakeClock
from worker.delivery.refused_times import BELIEVED_S, RefusedTimes

HOUR_MS = 3_600_000
NOW_MS = 1_800_000_000_000


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(wall=NOW_MS / 1000)


@pytest.fixture
def times(clock: FakeClock) -> RefusedTimes:
    return RefusedTimes(clock)


@pytest.mark.parametrize("side", [-1, 1], ids=["too long ago", "too far ahead"])
def test_what_is_further_away_on_the_same_side_is_refused_as_well(times: RefusedTimes, side: int) -> None:
    times.note(NOW_MS + side * 10 * HOUR_MS)
    times.note(NOW_MS + side * 20 * HOUR_MS)
    assert [hours for hours in (-30, -20, -10, -9, 0, 9, 10, 20, 30) if times.hold(NOW_MS + hours * HOUR_MS)] == sorted(
        side * hours for hours in (10, 20, 30)
    )


def test_both_sides_may_be_known(times: RefusedTimes) -> None:
    times.note(NOW_MS - 2 * HOUR_MS)
    times.note(NOW_MS + 3 * HOUR_MS)
    assert [hours for hours in range(-4, 5) if times.hold(NOW_MS + hours * HOUR_MS)] == [-4, -3, -2, 3, 4]


def test_the_distance_counts_and_not_the_time(times: RefusedTimes, clock: FakeClock) -> None:
    times.note(NOW_MS - HOUR_MS)
    clock.advance(30)
    assert not times.hold(NOW_MS - HOUR_MS + 30_001)
    assert times.hold(NOW_MS - HOUR_MS + 30_000)


def test_nothing_is_concluded_from_a_time_so_near_that_the_clocks_may_disagree(times: RefusedTimes) -> None:
    times.note(NOW_MS - HOUR_MS // 3)
    times.note(NOW_MS + HOUR_MS // 3)
    assert not any(times.hold(NOW_MS + hours * HOUR_MS) for hours in range(-5, 6))


def test_a_topic_that_was_changed_is_tried_again(times: RefusedTimes, clock: FakeClock) -> None:
    times.note(NOW_MS - 2 * HOUR_MS)
    clock.advance(BELIEVED_S + 1)
    assert not times.hold(NOW_MS - 9 * HOUR_MS)
    times.note(NOW_MS - 9 * HOUR_MS)
    assert not times.hold(NOW_MS - 8 * HOUR_MS)


@pytest.mark.parametrize("timestamp_ms", [-1, -HOUR_MS])
def test_a_record_that_gets_the_time_of_now_is_never_refused(times: RefusedTimes, timestamp_ms: int) -> None:
    times.note(NOW_MS - HOUR_MS)
    assert not times.hold(timestamp_ms)
