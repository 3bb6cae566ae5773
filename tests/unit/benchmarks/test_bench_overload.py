"""The pure parts of the benchmark of overload."""

from __future__ import annotations

import pytest

from tests.benchmarks.overload import Limits, Sample, bound_s, facts, memory_fact, percentile, slowest, times

LIMITS = Limits(max_in_flight_reviews=1000, max_in_flight_bytes=10_000, window_reviews=100)
METRICS = {
    "rebalances_total": 1.0,
    "in_flight_reviews": 900.0,
    "in_flight_bytes": 9_000.0,
    "commits_total{outcome=stored}": 5.0,
    "events_out_total": 100.0,
    "batches_total": 50.0,
    **{
        f"{name}_bucket{{le={edge}}}": 0.0 for name in ("worker_seconds", "publish_seconds") for edge in ("1.0", "+Inf")
    },
}


def sample(
    at: float = 0.0, *, ready: int = 200, alive: int = 200, memory_mib: float = 100.0, **changes: float
) -> Sample:
    return Sample(at, ready, alive, memory_mib, METRICS | changes)


def later(**changes: object) -> Sample:
    return sample(10.0, **{"commits_total{outcome=stored}": 9.0} | changes)  # type: ignore[arg-type]


def test_all_holds_of_a_worker_that_keeps_to_its_bounds() -> None:
    assert all(fact.holds for fact in facts([sample(), later()], LIMITS))


@pytest.mark.parametrize(
    ("broken", "name"),
    [
        ({"rebalances_total": 2.0}, "one rebalance"),
        ({"ready": 503}, "/readyz"),
        ({"alive": 503}, "/healthz"),
        ({"in_flight_reviews": 1001.0}, "reviews in flight"),
        ({"in_flight_bytes": 10_001.0}, "bytes in flight"),
        ({"commits_total{outcome=stored}": 5.0}, "commits"),
        ({"commits_total{outcome=failed}": 1.0}, "commits"),
        ({"transactions_total{outcome=fenced}": 1.0}, "commits"),
    ],
)
def test_what_does_not_hold_is_said(broken: dict[str, float], name: str) -> None:
    (fact,) = [fact for fact in facts([sample(), later(**broken)], LIMITS) if not fact.holds]
    assert fact.name.startswith(name)


def test_memory_is_flat_when_it_does_not_grow_after_the_first_part() -> None:
    warm_up = [sample(memory_mib=mib) for mib in range(10, 130, 4)]
    assert memory_fact([*warm_up, *[sample(memory_mib=140.0)] * 70]).holds
    assert not memory_fact([sample(memory_mib=100.0 + mib) for mib in range(100)]).holds


def test_the_bound_is_what_is_in_flight_and_two_batches_for_each_review_in_the_window() -> None:
    assert bound_s(LIMITS, reviews_per_s=90.0, batches_per_s=20.0) == pytest.approx(10.0 + 10.0, abs=0.1)


def test_rates_and_percentiles_are_of_what_happened_between_the_samples() -> None:
    buckets = {"worker_seconds_bucket{le=1.0}": 98.0, "worker_seconds_bucket{le=5.0}": 99.0}
    after = METRICS | buckets | {"worker_seconds_bucket{le=+Inf}": 100.0}
    assert percentile(METRICS, after, "worker_seconds", 0.99) == (1.0, 5.0)
    assert percentile(METRICS, after, "worker_seconds", 0.5) == (0.0, 1.0)
    after |= {"events_out_total": 1000.0, "batches_total": 250.0, "worker_seconds_sum": 70.0}
    after |= {"worker_seconds_count": 100.0}
    measured = times([sample(), sample(10.0, **after)], LIMITS)
    assert measured[:5] == (90.0, 20.0, 0.7, 1.0, 5.0)
    assert measured.within == "yes"
    assert measured._replace(bound_s=4.0).within == "in the bucket of the bound"
    assert measured._replace(bound_s=0.9).within == "NO"


def test_the_slowest_stretch_counts() -> None:
    outs = [0.0, 100.0, 110.0, 300.0]
    samples = [sample(10.0 * index, events_out_total=out) for index, out in enumerate(outs)]
    assert slowest(samples, "events_out_total") == 1.0
