"""What is served before anything has happened."""

from __future__ import annotations

import sys

from absent import Absent
from prometheus_client import generate_latest

from worker.errors import Reason
from worker.metrics import PROCESS_METRICS, Metrics


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
