"""SIGTERM and twice SIGTERM in the middle of the work; kills are in `scenarios.processes`."""

from __future__ import annotations

import signal

import kafka_tools
import pytest
from conftest import TopicNames
from kafka_tools import Message
from ledger import Ledger
from worker_process import Gate, Workers

from worker.devkafka import Cluster
from worker.errors import ExitCode

PARTITIONS = 3
KEYS = 16


def review(number: int) -> Message:
    return Message(b'{"review_id":%d,"text":"number %d was good"}' % (number, number), b"key-%d" % (number % KEYS))


@pytest.fixture(autouse=True)
async def _topics(kafka: Cluster, topic_names: TopicNames) -> None:
    names = (topic_names.input, topic_names.output, topic_names.dead_letters)
    await kafka_tools.create_topics(kafka.bootstrap_servers, *names, partitions=PARTITIONS)


async def committed(servers: str, group: str) -> int:
    return sum((await kafka_tools.committed_offsets(servers, group)).values())


async def test_sigterm_finishes_what_is_in_flight_and_a_restart_repeats_nothing(
    kafka: Cluster, ledger: Ledger, workers: Workers, gate: Gate
) -> None:
    servers = kafka.bootstrap_servers
    await ledger.produce(servers, map(review, range(1000)))
    first = await workers.start(servers, special="gated", variables=gate.variables, max_in_flight_reviews=400).ready()
    await first.reaches("in_flight_reviews", 300)
    first.send(signal.SIGTERM)
    await first.says("signal received")
    assert (await first.get("/readyz"))[0] == 503
    gate.open()
    assert await first.ended() == ExitCode.OK
    published = len((await ledger.outputs(servers))[0])
    assert 300 <= published <= 400
    assert await committed(servers, ledger.names.group) == published
    second = await workers.start(servers, special="free").ready()
    (await ledger.settled(servers)).check()
    assert await second.stopped() == ExitCode.OK
    assert await committed(servers, ledger.names.group) == 1000


async def test_sigterm_under_load_repeats_nothing(kafka: Cluster, ledger: Ledger, workers: Workers) -> None:
    servers = kafka.bootstrap_servers
    async with ledger.load(servers, review):
        for _ in range(2):
            worker = await workers.start(servers, special="free").ready()
            await worker.reaches("events_out_total", 200)
            assert await worker.stopped() == ExitCode.OK
    await workers.start(servers).ready()
    (await ledger.settled(servers)).check()


async def test_a_second_signal_exits_at_once_and_nothing_is_lost(
    kafka: Cluster, ledger: Ledger, workers: Workers, gate: Gate
) -> None:
    servers = kafka.bootstrap_servers
    await ledger.produce(servers, map(review, range(300)))
    first = await workers.start(servers, special="gated", variables=gate.variables, session_timeout_s=6).ready()
    await first.reaches("in_flight_reviews", 300)
    first.send(signal.SIGTERM)
    await first.says("signal received")
    first.send(signal.SIGTERM)
    assert await first.ended() == ExitCode.KILLED
    assert await committed(servers, ledger.names.group) == 0
    await workers.start(servers, special="free", session_timeout_s=6).ready()
    (await ledger.settled(servers)).check()


async def test_a_stop_that_takes_too_long_says_so_and_nothing_is_lost(
    kafka: Cluster, ledger: Ledger, workers: Workers
) -> None:
    servers = kafka.bootstrap_servers
    await ledger.produce(servers, map(review, range(100)))
    first = await workers.start(servers, special="hanging", grace_period_s=0.5).ready()
    await first.reaches("in_flight_reviews", 100)
    assert await first.stopped(30) == ExitCode.GRACE_EXCEEDED
    assert first.said("100 reviews were not finished")
    await workers.start(servers, special="free").ready()
    (await ledger.settled(servers)).check()
