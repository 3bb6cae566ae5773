"""Workers that share partitions, come and go, under load."""

from __future__ import annotations

import asyncio
import signal

import kafka_tools
import pytest
from kafka_tools import Message
from ledger import Ledger
from worker_process import WorkerProcess, Workers, eventually

from worker.devkafka import Cluster
from worker.errors import ExitCode

PARTITIONS = 6
KEYS = 48
BOUND = 512


def review(number: int) -> Message:
    return Message(b'{"review_id":%d,"text":"number %d was good"}' % (number, number), b"key-%d" % (number % KEYS))


@pytest.fixture(autouse=True)
async def _topics(kafka: Cluster, ledger: Ledger) -> None:
    names = ledger.names
    topics = (names.input, names.output, names.dead_letters)
    await kafka_tools.create_topics(kafka.bootstrap_servers, *topics, partitions=PARTITIONS)


async def shared(*workers: WorkerProcess) -> None:
    """Wait until the partitions are shared out evenly among these workers."""

    async def even() -> bool:
        counts = [await worker.metric("assigned_partitions") for worker in workers]
        return counts == [PARTITIONS / len(workers)] * len(workers)

    await eventually(even, f"{len(workers)} workers have {PARTITIONS / len(workers):g} partitions each")


async def works(ledger: Ledger, *workers: WorkerProcess) -> None:
    """Wait until each has published some more."""
    counts = [await worker.metric("events_out_total") for worker in workers]
    pairs = zip(workers, counts, strict=True)
    await asyncio.gather(*(worker.reaches("events_out_total", count + 100) for worker, count in pairs))


async def test_workers_that_join_and_leave_under_load_lose_nothing_and_keep_the_order(
    kafka: Cluster, workers: Workers, ledger: Ledger
) -> None:
    servers = kafka.bootstrap_servers
    settings = {"special": "free", "max_in_flight_reviews": BOUND}
    first, second = workers.start(servers, **settings), workers.start(servers, **settings)
    await asyncio.gather(first.ready(), second.ready())
    await shared(first, second)
    async with ledger.load(servers, review):
        await works(ledger, first, second)
        third = await workers.start(servers, **settings).ready()
        await shared(first, second, third)
        await works(ledger, first, second, third)
        assert await second.stopped() == ExitCode.OK
        await shared(first, third)
        await works(ledger, first, third)
    verdict = await ledger.settled(servers)
    # Whoever keeps partitions has to read again what was not acknowledged when they were shared out anew.
    verdict.check(max_repeats=2 * 3 * BOUND)
    assert not [line for worker in workers.started for line in worker.log if line.level == "ERROR"]
    assert await first.stopped() == await third.stopped() == ExitCode.OK
    committed = await kafka_tools.committed_offsets(servers, ledger.names.group)
    assert committed == await kafka_tools.end_offsets(servers, ledger.names.input)


@pytest.mark.parametrize("again", range(3))
async def test_a_worker_that_was_frozen_while_another_joined_goes_on_reading(
    again: int, kafka: Cluster, workers: Workers, ledger: Ledger
) -> None:
    """It does its part of the rebalance in a moment, in the middle of a fetch, and nothing is committed yet."""
    servers = kafka.bootstrap_servers
    frozen = await workers.start(servers, special="free").ready()
    frozen.send(signal.SIGSTOP)
    joining = workers.start(servers, special="free")
    await eventually(lambda: has_members(servers, ledger.names.group, 2), "the other one is joining")
    frozen.send(signal.SIGCONT)
    await joining.ready()
    await shared(frozen, joining)
    await ledger.produce(servers, map(review, range(100)))
    (await ledger.settled(servers)).check()


async def has_members(servers: str, group: str, count: int) -> bool:
    """Whether the group has so many members, those included that still wait for the others."""
    return len(await kafka_tools.member_ids(servers, group)) == count


async def test_more_workers_than_partitions_leave_one_idle_and_ready_to_take_over(
    kafka: Cluster, workers: Workers, ledger: Ledger
) -> None:
    servers = kafka.bootstrap_servers
    topic = f"{ledger.names.input}.single"
    await kafka_tools.create_topics(servers, topic, partitions=1)
    ledger.names = type(ledger.names)(topic, ledger.names.output, ledger.names.dead_letters, ledger.names.group)
    settings = {"special": "free", "input_topic": topic}
    started = workers.start(servers, **settings), workers.start(servers, **settings)
    await asyncio.gather(*(worker.ready() for worker in started))
    await ledger.produce(servers, map(review, range(100)))

    async def owner() -> WorkerProcess | None:
        owners = [worker for worker in started if await worker.metric("assigned_partitions") == 1]
        return owners[0] if len(owners) == 1 else None

    leaving = await eventually(owner, "one of the two owns the partition")
    staying = started[1 - started.index(leaving)]
    assert (await staying.get("/healthz"))[0] == 200
    await ledger.settled(servers)
    assert await leaving.stopped() == ExitCode.OK
    await ledger.produce(servers, map(review, range(100, 200)))
    (await ledger.settled(servers)).check()
    assert await staying.metric("events_out_total") >= 100
