"""What is served before anything has happened."""

from __future__ import annotations

import random
import sys

import pytest
from absent import Absent
from prometheus_client import CollectorRegistry, Histogram, generate_latest

from worker.errors import Reason
from worker.observability.metrics import PROCESS_METRICS, GroupHistogram, Metrics


def test_counters_with_known_labels_are_there_before_they_count() -> None:
    metrics = Metrics()
    for reason in Reason:
        assert metrics.registry.get_sample_value("reviews_worker_dead_letters_total", {"reason": reason.value}) == 0
    for name, label, values in (
        ("commits", "outcome", ("stored", "failed", "stale")),
        ("transactions", "outcome", ("committed", "failed", "fenced")),
        ("inference_failures", "kind", ("failed", "out_of_memory")),
        ("retries", "stage", ("infer", "publish")),
    ):
        for value in values:
            assert metrics.registry.get_sample_value(f"reviews_worker_{name}_total", {label: value}) == 0


@Absent.LINUX.unless(sys.platform == "linux", "read from /proc")
def test_the_process_is_described_too() -> None:
    served = generate_latest(Metrics().registry).decode()
    names = {line.split()[2] for line in served.splitlines() if line.startswith("# TYPE process_")}
    assert names == set(PROCESS_METRICS)


def test_samples_of_a_group_are_counted_as_one_by_one() -> None:
    edges, source = (0.5, 1.0, 2.5), random.Random(1)
    one_by_one, grouped = CollectorRegistry(), CollectorRegistry()
    expected = Histogram("wait_seconds", "Why.", registry=one_by_one, buckets=edges)
    counted = GroupHistogram("wait_seconds", "Why.", edges, grouped)
    for size in (0, 1, 7, 100):
        samples = [*edges, *(source.uniform(0.0, 4.0) for _ in range(size))]
        counted.observe_all(iter(samples))
        for sample in samples:
            expected.observe(sample)

    def served(registry: CollectorRegistry) -> dict[str, float]:
        lines = (line.rsplit(" ", 1) for line in generate_latest(registry).decode().splitlines())
        return {n: float(value) for n, value in lines if n.startswith("wait_seconds_") and "created" not in n}

    assert served(grouped) == pytest.approx(served(one_by_one))
    assert b"# TYPE wait_seconds histogram" in generate_latest(grouped)
