"""How long the lag will take."""

from __future__ import annotations

import math

import pytest

from worker.pipeline.drain_time import LONGEST_S, PACE_WINDOW_S, DrainTime
from worker.records import TopicPartition

FIRST, SECOND = TopicPartition("reviews.in", 0), TopicPartition("reviews.in", 1)


class Worker:
    """Completes records of one partition, and is asked once a second."""

    def __init__(self) -> None:
        self.drain_time = DrainTime()
        self.now, self.committed = 1_000.0, 500
        self.drain_time.after(self.now, {FIRST: self.committed}, 0)

    def after(self, completed: int, lag: int, seconds: int = 1) -> float:
        """What it says when every second so many were completed, and so many are left."""
        answer = math.nan
        for _ in range(seconds):
            self.now += 1
            self.committed += completed
            answer = self.drain_time.after(self.now, {FIRST: self.committed}, lag)
        return answer


@pytest.fixture
def worker() -> Worker:
    return Worker()


def test_nothing_is_said_before_anything_was_completed(worker: Worker) -> None:
    assert worker.after(0, lag=10_000, seconds=30) == 0


def test_under_a_backlog_it_is_lag_by_pace(worker: Worker) -> None:
    assert worker.after(100, lag=5_000) == 50
    assert worker.after(100, lag=4_000, seconds=10) == pytest.approx(40)


def test_without_lag_it_is_nothing(worker: Worker) -> None:
    assert worker.after(100, lag=0, seconds=5) == 0


def test_a_quiet_stream_does_not_slow_the_pace_that_a_backlog_showed(worker: Worker) -> None:
    worker.after(100, lag=5_000, seconds=10)
    worker.after(1, lag=1, seconds=3_600)
    assert worker.after(0, lag=0) == 0
    assert worker.after(100, lag=5_000) == pytest.approx(50)


def test_a_worker_that_becomes_slower_is_believed_within_a_few_minutes(worker: Worker) -> None:
    worker.after(100, lag=5_000, seconds=10)
    one_window = worker.after(10, lag=5_000, seconds=int(PACE_WINDOW_S))
    assert one_window == pytest.approx(5_000 / (10 + 90 / math.e))
    assert worker.after(10, lag=5_000, seconds=600) == pytest.approx(500, rel=0.01)


def test_a_worker_that_becomes_faster_is_believed_too(worker: Worker) -> None:
    worker.after(10, lag=5_000, seconds=10)
    assert worker.after(100, lag=150, seconds=600) == pytest.approx(1.5, rel=0.01)


def test_a_standstill_grows_without_becoming_infinite(worker: Worker) -> None:
    worker.after(100, lag=5_000, seconds=10)
    answers = [worker.after(0, lag=5_000, seconds=60) for _ in range(60)]
    assert answers == sorted(answers)
    assert answers[-1] == LONGEST_S


def test_where_the_group_stood_before_an_assignment_is_no_work_of_this_worker(worker: Worker) -> None:
    worker.after(100, lag=5_000)
    worker.drain_time.after(worker.now + 1, {FIRST: worker.committed, SECOND: 1_000_000}, 5_000)
    worker.drain_time.after(worker.now + 2, {FIRST: worker.committed + 100, SECOND: 1_000_000}, 5_000)
    assert worker.drain_time.after(worker.now + 3, {FIRST: worker.committed + 200, SECOND: 1_000_000}, 5_000) == 50


def test_the_first_commit_of_a_group_is_not_counted_from_zero(worker: Worker) -> None:
    worker.after(100, lag=5_000)
    drain_time = worker.drain_time
    drain_time.after(worker.now + 1, {SECOND: 0}, 5_000)
    drain_time.after(worker.now + 2, {SECOND: 1_000_000}, 0)
    assert drain_time.after(worker.now + 3, {SECOND: 1_000_100}, 5_000) == pytest.approx(50)
