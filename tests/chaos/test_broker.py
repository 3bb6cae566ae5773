"""A broker that goes away and comes back. Each test has a Kafka of its own."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import kafka_tools
import pytest
from kafka_tools import Message
from ledger import Ledger
from worker_process import WorkerProcess, Workers, eventually

from worker.devkafka import LocalCluster, kafka_cluster
from worker.errors import ExitCode

KEYS = 16


def review(number: int) -> Message:
    return Message(b'{"review_id":%d,"text":"number %d was good"}' % (number, number), b"key-%d" % (number % KEYS))


@pytest.fixture(scope="module")
def single_broker() -> Iterator[LocalCluster]:
    """One broker that the tests of this file may stop."""
    with kafka_cluster(kind="local") as cluster:
        yield cluster


@pytest.fixture
def own_kafka(single_broker: LocalCluster) -> LocalCluster:
    """The same, running, whatever the test before left behind."""
    single_broker.start_broker(1)
    return single_broker


def of_ours(worker: WorkerProcess, *parts: str) -> list[str]:
    """What the worker itself says about the broker."""
    return [line.message for line in worker.said(*parts) if line.logger.startswith("worker.")]


async def test_a_broker_that_goes_away_in_the_middle_loses_nothing_and_is_said_once(
    own_kafka: LocalCluster, workers: Workers, ledger: Ledger
) -> None:
    servers, names = own_kafka.bootstrap_servers, ledger.names
    await kafka_tools.create_topics(servers, names.input, names.output, names.dead_letters, partitions=3)
    worker = await workers.start(servers, special="free", max_in_flight_reviews=256).ready()
    for times, take_away in enumerate((own_kafka.kill_broker, own_kafka.stop_broker), start=1):
        published = await worker.metric("events_out_total")
        await ledger.produce(servers, map(review, range(2000)))
        await worker.reaches("events_out_total", published + 100)
        take_away(1)
        await eventually(lambda: len(of_ours(worker, "does not answer")) == times, "the log says that it is away")  # noqa: B023
        assert (await worker.get("/healthz"))[0] == 200
        assert await worker.metric("broker_up") == 0
        assert await worker.metric("in_flight_reviews") <= 256
        own_kafka.start_broker(1)
        await eventually(lambda: len(of_ours(worker, "answers again")) == times, "the log says that it is back")  # noqa: B023
        (await ledger.settled(servers)).check(max_repeats=1000 * times)
    lines = worker.log
    print(f"{len(lines)} lines, {sum(line.level == 'ERROR' for line in lines)} of them errors")
    assert len(of_ours(worker, "does not answer")) == len(of_ours(worker, "answers again")) == 2
    assert len(lines) < 60
    assert "Traceback" not in worker.output
    assert await worker.stopped() == ExitCode.OK


async def test_a_worker_waits_for_a_broker_that_is_away_at_the_start(
    own_kafka: LocalCluster, workers: Workers, ledger: Ledger
) -> None:
    servers, names = own_kafka.bootstrap_servers, ledger.names
    await kafka_tools.create_topics(servers, names.input, partitions=2)
    await ledger.produce(servers, map(review, range(100)))
    own_kafka.stop_broker(1)
    worker = workers.start(servers, special="free")
    await worker.says("does not answer")
    assert (await worker.get("/readyz"))[0] == 503
    own_kafka.start_broker(1)
    await worker.ready()
    (await ledger.settled(servers)).check()
    assert len(of_ours(worker, "does not answer")) == len(of_ours(worker, "answers again")) == 1


async def test_a_stop_while_the_broker_is_away_ends_in_time_and_nothing_is_lost(
    own_kafka: LocalCluster, workers: Workers, ledger: Ledger
) -> None:
    servers, names = own_kafka.bootstrap_servers, ledger.names
    await kafka_tools.create_topics(servers, names.input, names.output, names.dead_letters, partitions=2)
    settings = {"special": "free", "max_in_flight_reviews": 100, "session_timeout_s": 6}
    worker = await workers.start(servers, grace_period_s=2, **settings).ready()
    await ledger.produce(servers, map(review, range(500)))
    own_kafka.kill_broker(1)
    assert await worker.stopped() in (ExitCode.OK, ExitCode.GRACE_EXCEEDED)
    assert "Traceback" not in worker.output
    own_kafka.start_broker(1)
    await workers.start(servers, **settings).ready()
    (await ledger.settled(servers)).check(max_repeats=500)


@pytest.mark.parametrize("guarantee", ["at_least_once", "exactly_once"])
async def test_a_stop_while_the_broker_hangs_does_not_wait_for_its_answers(
    guarantee: str, own_kafka: LocalCluster, workers: Workers, ledger: Ledger
) -> None:
    servers, names = own_kafka.bootstrap_servers, ledger.names
    await kafka_tools.create_topics(servers, names.input, names.output, names.dead_letters, partitions=2)
    settings = {"special": "free", "processing_guarantee": guarantee, "grace_period_s": 1}
    worker = await workers.start(servers, **settings).ready()
    await ledger.produce(servers, map(review, range(100)))
    (await ledger.settled(servers)).check()
    os.kill(own_kafka.pids[1], signal.SIGSTOP)
    try:
        assert await worker.stopped() in (ExitCode.OK, ExitCode.GRACE_EXCEEDED)
    finally:
        os.kill(own_kafka.pids[1], signal.SIGCONT)
    # Who waits for an answer is torn out of it when the process ends, and says so.
    assert "Traceback" not in worker.output
    assert not [line for line in worker.log if "was destroyed" in line.message or "never" in line.message]
