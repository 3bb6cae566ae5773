"""A rebalance at an unlucky moment; those under load are in `scenarios.membership`."""

from __future__ import annotations

import signal

import kafka_tools
import pytest
from kafka_tools import Message
from ledger import Ledger
from worker_process import Workers, evenly_shared, eventually

from worker.devkafka import Cluster

PARTITIONS = 6
KEYS = 48


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
    frozen = await workers.start(servers, special="free").ready()
    frozen.send(signal.SIGSTOP)
    joining = workers.start(servers, special="free")
    await eventually(lambda: has_members(servers, ledger.names.group, 2), "the other one is joining")
    frozen.send(signal.SIGCONT)
    await joining.ready()
    await evenly_shared(PARTITIONS, frozen, joining)
    await ledger.produce(servers, map(review, range(100)))
    (await ledger.settled(servers)).check()


async def has_members(servers: str, group: str, count: int) -> bool:
    """Whether the group has so many members, those included that still wait for the others."""
    return len(await kafka_tools.member_ids(servers, group)) == count
