"""A rebalance at an unlucky moment; those under load are in `scenarios.membership`."""

from __future__ import annotations

import signal

import kafka_tools
import pytest
from kafka_tools import Message
from ledger import Ledger
from worker_process import WorkerProcess, Workers, evenly_shared, eventually

from worker.devkafka import Cluster
from worker.errors import ExitCode

PARTITIONS = 6
KEYS = 48
PATIENT = {"session_timeout_s": 100, "rebalance_timeout_s": 100}
"""Whoever is frozen stays a member, however long another one takes to start."""


def review(number: int) -> Message:
    return Message(b'{"review_id":%d,"text":"number %d was good"}' % (number, number), b"key-%d" % (number % KEYS))


@pytest.fixture(autouse=True)
async def _topics(kafka: Cluster, ledger: Ledger) -> None:
    names = ledger.names
    topics = (names.input, names.output, names.dead_letters)
    await kafka_tools.create_topics(kafka.bootstrap_servers, *topics, partitions=PARTITIONS)


@pytest.mark.parametrize("again", range(3))
async def test_a_worker_that_was_frozen_while_another_joined_goes_on_reading(
    again: int, kafka: Cluster, workers: Workers, ledger: Ledger
) -> None:
    """It does its part of the rebalance in a moment, in the middle of a fetch, and nothing is committed yet."""
    servers = kafka.bootstrap_servers
    frozen = await workers.start(servers, special="free", **PATIENT).ready()
    frozen.send(signal.SIGSTOP)
    joining = workers.start(servers, special="free", **PATIENT)
    await eventually(lambda: has_members(servers, ledger.names.group, 2), "the other one is joining")
    frozen.send(signal.SIGCONT)
    await joining.ready()
    await evenly_shared(PARTITIONS, frozen, joining)
    await ledger.produce(servers, map(review, range(100)))
    (await ledger.settled(servers)).check()


async def test_a_worker_that_is_stopped_while_it_waits_for_others_of_a_rebalance_gives_its_place_up(
    kafka: Cluster, workers: Workers, ledger: Ledger
) -> None:
    """Neither does it wait for the slowest of them, nor is it given partitions that nobody would read."""
    servers = kafka.bootstrap_servers
    frozen = await workers.start(servers, special="free", **PATIENT).ready()
    waiting = await workers.start(servers, special="free", **PATIENT).ready()
    await evenly_shared(PARTITIONS, frozen, waiting)
    frozen.send(signal.SIGSTOP)
    joining = workers.start(servers, special="free", **PATIENT)
    await eventually(lambda: has_members(servers, ledger.names.group, 3), "the third one is joining")
    await eventually(lambda: in_a_rebalance(waiting), "the second one takes part")
    assert await joining.stopped() == await waiting.stopped() == ExitCode.OK
    for stopped in (joining, waiting):
        assert "Traceback" not in stopped.output
    assert len(await kafka_tools.member_ids(servers, ledger.names.group)) == 1
    frozen.send(signal.SIGCONT)
    await ledger.produce(servers, map(review, range(100)))
    (await ledger.settled(servers)).check()
    assert await frozen.stopped() == ExitCode.OK


async def in_a_rebalance(worker: WorkerProcess) -> bool:
    """Whether it has given its partitions back and has no others yet."""
    return await worker.metric("assigned_partitions") == 0


async def has_members(servers: str, group: str, count: int) -> bool:
    """Whether the group has so many members, those included that still wait for the others."""
    return len(await kafka_tools.member_ids(servers, group)) == count
