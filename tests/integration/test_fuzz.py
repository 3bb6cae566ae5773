"""A cut of ``make fuzz``: a real broker, a real worker with the bundled model."""

from __future__ import annotations

from pathlib import Path

from conftest import TopicNames

from tests.fuzz.through_kafka import fuzz
from worker.devkafka import Cluster
from worker.errors import Reason


async def test_mutated_events_all_come_out_classified_or_dead_and_the_process_lives(
    kafka: Cluster, topic_names: TopicNames, tmp_path: Path
) -> None:
    report = await fuzz(kafka.bootstrap_servers, topic_names, tmp_path, events=3000, seed=7, huge_every=750)
    print(report.by_outcome)
    assert not report.wrong
    assert report.by_outcome.total() == 3000
    assert report.by_outcome[Reason.EVENT_TOO_LARGE] >= 2
    assert len(report.by_outcome) >= 9
