"""The pure parts of the benchmark of rebalances."""

from __future__ import annotations

import pytest

from tests.benchmarks.bench_rebalance import cases
from tests.benchmarks.silence import Arrival, longest_silence


def test_a_silence_is_that_of_one_partition_and_that_of_the_topic() -> None:
    arrivals = [Arrival(1.0, 0), Arrival(2.0, 1), Arrival(3.0, 0), Arrival(7.0, 1), Arrival(8.0, 0)]
    assert longest_silence(arrivals, 2, start=0.0, end=9.0) == (5.0, 4.0)


def test_a_silence_counts_from_the_start_and_to_the_end() -> None:
    assert longest_silence([Arrival(4.0, 0)], 1, start=1.0, end=9.0) == (5.0, 5.0)
    assert longest_silence([Arrival(0.5, 0), Arrival(9.5, 0)], 1, start=1.0, end=9.0) == (8.0, 8.0)


def test_a_partition_without_output_is_silent_all_the_time() -> None:
    arrivals = [Arrival(at / 10, 0) for at in range(100)]
    assert longest_silence(arrivals, 2, start=0.0, end=9.9) == pytest.approx((9.9, 0.1))


def test_the_time_out_is_varied_where_it_matters() -> None:
    names = [(case.name, case.session_timeout_s) for case in cases([6.0, 30.0], [3.0], ["at_least_once"])]
    assert ("joins", 30.0) in names
    assert ("joins", 6.0) not in names
    assert names.count(("dies", 6.0)) == names.count(("dies", 30.0)) == 2  # with and without static membership
    assert names.count(("leaves", 6.0)) == 1  # a static one is missed only when its time is out
    keys = [case.key for case in cases([6.0, 30.0], [3.0, 1.0], ["at_least_once", "exactly_once"])]
    assert len(keys) == len(set(keys))
