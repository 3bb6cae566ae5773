"""A partition that no broker leads, in an assignment with others."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import kafka_tools
import pytest
from aiokafka.errors import KafkaError
from kafka_tools import Message
from ledger import Ledger
from worker_process import Workers, evenly_shared, eventually

from worker.devkafka import LocalCluster, kafka_cluster
from worker.errors import ExitCode

PARTITIONS = 4


@pytest.fixture
def three_brokers() -> Iterator[LocalCluster]:
    """A cluster of the test's own."""
    with kafka_cluster(3, kind="local") as cluster:
        yield cluster


def reviews(first: int, partitions: list[int]) -> list[Message]:
    return [
        Message(b'{"review_id":%d,"text":"good"}' % number, partition=partitions[number % len(partitions)])
        for number in range(first, first + 60)
    ]


async def test_a_partition_without_a_leader_does_not_keep_the_others_of_a_new_assignment_from_being_read(
    three_brokers: LocalCluster, workers: Workers, ledger: Ledger
) -> None:
    servers, names = three_brokers.bootstrap_servers, ledger.names
    await kafka_tools.create_topics(servers, names.input, partitions=PARTITIONS, replication=1)
    await kafka_tools.create_topics(servers, names.output, names.dead_letters, partitions=PARTITIONS)
    stays = await workers.start(servers, special="free", session_timeout_s=6).ready()
    leaves = await workers.start(servers, special="free", session_timeout_s=6).ready()
    await evenly_shared(PARTITIONS, stays, leaves)
    await ledger.produce(servers, reviews(0, list(range(PARTITIONS))))
    (await ledger.settled(servers)).check()
    leaders = await kafka_tools.leaders(servers, names.input)
    gone = next(iter(leaders))
    others = [partition for partition, leader in leaders.items() if leader != leaders[gone]]
    await asyncio.to_thread(three_brokers.kill_broker, leaders[gone])
    await eventually(lambda: _without_leader(servers, names.input, gone), "the partition has no leader")
    assert await leaves.stopped() == ExitCode.OK
    await stays.reaches("assigned_partitions", PARTITIONS)
    await ledger.produce(servers, reviews(60, others))
    (await ledger.settled(servers)).check()
    await stays.ready()  # the first look may still ask the broker that is gone
    await asyncio.to_thread(three_brokers.start_broker, leaders[gone])
    await ledger.produce(servers, reviews(120, [gone]))
    (await ledger.settled(servers)).check()
    assert await stays.stopped() == ExitCode.OK


async def _without_leader(servers: str, topic: str, partition: int) -> bool:
    try:
        return (await kafka_tools.leaders(servers, topic))[partition] == -1
    except KafkaError:  # the broker that was asked is the one that is gone
        return False
