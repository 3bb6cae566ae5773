"""A stop in each phase of a worker's life ends with the documented code, line and log entry, in the documented time."""

from __future__ import annotations

import pytest
import stops
from conftest import TopicNames
from worker_process import Workers

from worker.devkafka import Cluster
from worker.errors import ExitCode


@pytest.mark.parametrize("guarantee", stops.GUARANTEES)
@pytest.mark.parametrize("phase", stops.PHASES)
async def test_a_stop_in_every_phase_is_an_orderly_end(
    kafka: Cluster, workers: Workers, topic_names: TopicNames, phase: str, guarantee: str
) -> None:
    await stops.prepare(kafka.bootstrap_servers, topic_names, phase)
    stop = await stops.stop_in(phase, guarantee, workers, kafka.bootstrap_servers)
    assert not stop.faults, stop


@pytest.mark.parametrize("model", ["never-loaded", "hanging"])
async def test_a_thread_that_hangs_does_not_keep_the_process(
    kafka: Cluster, workers: Workers, topic_names: TopicNames, model: str
) -> None:
    await stops.prepare(kafka.bootstrap_servers, topic_names, "computing")
    worker = workers.start(kafka.bootstrap_servers, special=model, grace_period_s=0.5)
    if model == "never-loaded":
        await worker.says("health and metrics on")
        assert await worker.stopped() == ExitCode.OK
    else:
        await worker.ready()
        await worker.reaches("in_flight_reviews", 1)
        assert await worker.stopped() == ExitCode.GRACE_EXCEEDED
    assert "Traceback" not in worker.output
