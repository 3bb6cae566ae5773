"""The most memory that a worker takes, whatever the records are made of; `make bench-memory` has all kinds."""

from __future__ import annotations

import pytest
from conftest import TopicNames
from worker_process import Workers

from tests.benchmarks.memory import LOADS, Load, measured
from worker.devkafka import Cluster

PARTITIONS = 6
NAMED = {load.name: load for load in LOADS}


@pytest.mark.parametrize(
    ("load", "guarantee"),
    [
        (NAMED["headers of 100 kB"], "at_least_once"),
        (NAMED["values of 600 kB"], "exactly_once"),
        (NAMED["values of 10 kB, 100:1"], "at_least_once"),
        (NAMED["batches of 32 MiB from little, values of 900 kB"], "at_least_once"),
    ],
    ids=lambda value: value.name if isinstance(value, Load) else value,
)
async def test_peak_memory_is_bounded(
    load: Load, guarantee: str, kafka: Cluster, topic_names: TopicNames, workers: Workers
) -> None:
    seen = await measured(
        kafka.bootstrap_servers, topic_names, workers, load, PARTITIONS, processing_guarantee=guarantee
    )
    assert seen.in_flight_mib <= 64
    assert seen.above_idle_mib <= load.bound_mib
