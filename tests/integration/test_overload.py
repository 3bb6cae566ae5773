"""More to do than the worker can: it stays in the group, ready and within its bounds, and everything comes out."""

from __future__ import annotations

import asyncio

import kafka_tools
import pytest
from kafka_tools import Message
from ledger import Ledger
from worker_process import Workers

from tests.benchmarks.overload import Limits, Sample, facts, watch
from worker.devkafka import Cluster
from worker.errors import ExitCode

PARTITIONS = 3
EVENTS = 3000
BOUND = 128


def review(number: int) -> Message:
    text = b"number %d was " % number + b"a good film, and not a short one, " * (number % 6)
    return Message(b'{"review_id":%d,"text":"%s"}' % (number, text), b"key-%d" % (number % 16))


@pytest.mark.parametrize("guarantee", ["at_least_once", "exactly_once"])
async def test_a_worker_under_overload_keeps_its_place_its_bounds_and_its_readiness(
    guarantee: str, kafka: Cluster, workers: Workers, ledger: Ledger
) -> None:
    servers, names = kafka.bootstrap_servers, ledger.names
    await kafka_tools.create_topics(servers, names.input, names.output, names.dead_letters, partitions=PARTITIONS)
    settings = {"max_in_flight_reviews": BOUND, "session_timeout_s": 6, "processing_guarantee": guarantee}
    worker = await workers.start(servers, **settings).ready()
    samples: list[Sample] = []
    watching = asyncio.create_task(watch(worker, samples, interval_s=0.05))
    for start in range(0, EVENTS, 1000):
        await ledger.produce(servers, map(review, range(start, start + 1000)))
    await worker.reaches("events_out_total", EVENTS)
    watching.cancel()
    await asyncio.gather(watching, return_exceptions=True)
    (await ledger.settled(servers)).check()
    limits = Limits(BOUND, 64 * 1024 * 1024, BOUND)
    assert not [fact for fact in facts(samples, limits) if not fact.holds]
    assert max(sample.count("in_flight_reviews") for sample in samples) > BOUND / 2
    assert max(sample.count("intake_paused") for sample in samples) == 1
    assert await worker.stopped() == ExitCode.OK
