"""Workers with an instance id: what a restart costs the others, and two with the same id."""

from __future__ import annotations

import asyncio
import signal

import kafka_tools
import pytest
from aiokafka import AIOKafkaConsumer
from aiokafka.coordinator.assignors.range import RangePartitionAssignor
from kafka_tools import Message
from ledger import Ledger
from worker_process import WorkerProcess, Workers, evenly_shared, eventually

from worker.devkafka import Cluster
from worker.errors import ExitCode

PARTITIONS = 4


def review(number: int) -> Message:
    return Message(b'{"review_id":%d,"text":"number %d was good"}' % (number, number), b"key-%d" % (number % 16))


@pytest.fixture(autouse=True)
async def _topics(kafka: Cluster, ledger: Ledger) -> None:
    names = ledger.names
    topics = (names.input, names.output, names.dead_letters)
    await kafka_tools.create_topics(kafka.bootstrap_servers, *topics, partitions=PARTITIONS)


@pytest.mark.parametrize("guarantee", ["at_least_once", "exactly_once"])
async def test_a_restart_does_not_make_the_others_rebalance_and_nothing_is_lost_or_repeated(
    guarantee: str, kafka: Cluster, workers: Workers, ledger: Ledger
) -> None:
    servers = kafka.bootstrap_servers
    settings = {"special": "free", "processing_guarantee": guarantee}
    staying = workers.start(servers, group_instance_id="one", **settings)
    leaving = workers.start(servers, group_instance_id="two", **settings)
    await asyncio.gather(staying.ready(), leaving.ready())
    await evenly_shared(PARTITIONS, staying, leaving)
    assigned = next(line.message for line in reversed(leaving.said("assigned 2 partitions")))
    rebalances = await staying.metric("rebalances_total")
    async with ledger.load(servers, review):
        await leaving.reaches("events_out_total", 100)
        assert await leaving.stopped() == ExitCode.OK
        returned = await workers.start(servers, group_instance_id="two", **settings).ready()
        await returned.reaches("events_out_total", 100)
    (await ledger.settled(servers)).check(max_rewinds=0)
    assert returned.said(assigned)
    assert await returned.metric("rebalances_total") == 1
    assert await staying.metric("rebalances_total") == rebalances
    assert len(staying.said("assigned")) == rebalances
    assert await staying.stopped() == await returned.stopped() == ExitCode.OK


async def test_partitions_that_are_added_are_shared_out_when_all_have_restarted(
    kafka: Cluster, workers: Workers, ledger: Ledger
) -> None:
    servers = kafka.bootstrap_servers
    group = {each: workers.start(servers, group_instance_id=each, special="free") for each in ("one", "two")}
    await asyncio.gather(*(worker.ready() for worker in group.values()))
    await evenly_shared(PARTITIONS, *group.values())
    for topic in (ledger.names.output, ledger.names.dead_letters, ledger.names.input):
        await kafka_tools.create_partitions(servers, topic, 2 * PARTITIONS)
    for each, worker in list(group.items()):
        assert await worker.stopped() == ExitCode.OK
        group[each] = await workers.start(servers, group_instance_id=each, special="free").ready()
    await evenly_shared(2 * PARTITIONS, *group.values())
    await ledger.produce(servers, map(review, range(400)))
    (await ledger.settled(servers)).check(max_repeats=200)


@pytest.mark.parametrize("guarantee", ["at_least_once", "exactly_once"])
async def test_a_worker_whose_id_another_one_takes_ends_with_one_clear_line_and_leaves_it_the_place(
    guarantee: str, kafka: Cluster, workers: Workers, ledger: Ledger
) -> None:
    servers = kafka.bootstrap_servers
    settings = {"special": "free", "processing_guarantee": guarantee, "group_instance_id": "twice"}
    first = await workers.start(servers, **settings).ready()
    await evenly_shared(PARTITIONS, first)
    await ledger.produce(servers, map(review, range(100)))
    second = await workers.start(servers, **settings).ready()
    assert await first.ended() == ExitCode.USAGE
    assert_said(first)
    await ledger.produce(servers, map(review, range(100, 200)))
    (await ledger.settled(servers)).check(max_repeats=200)
    assert await second.metric("rebalances_total") == 1
    assert await second.stopped() == ExitCode.OK


async def test_a_worker_whose_id_another_one_takes_while_it_joins_ends_too(
    kafka: Cluster, workers: Workers, ledger: Ledger
) -> None:
    servers = kafka.bootstrap_servers
    # However long the others take to start, this one is not dead to the group meanwhile.
    frozen = await workers.start(servers, special="free", session_timeout_s=100, rebalance_timeout_s=100).ready()
    frozen.send(signal.SIGSTOP)  # who joins now has to wait for it
    first = workers.start(servers, special="free", group_instance_id="twice")
    await eventually(lambda: holds_place(servers, ledger.names.group, "twice"), "the first one is joining")
    second = workers.start(servers, special="free", group_instance_id="twice")
    assert await first.ended() == ExitCode.USAGE
    assert_said(first)
    frozen.send(signal.SIGCONT)
    await second.ready()
    await evenly_shared(PARTITIONS, frozen, second)
    await ledger.produce(servers, map(review, range(100)))
    (await ledger.settled(servers)).check()
    assert await frozen.stopped() == await second.stopped() == ExitCode.OK


async def test_a_group_that_cannot_be_joined_ends_the_worker_with_one_clear_line(
    kafka: Cluster, workers: Workers, ledger: Ledger
) -> None:
    servers, names = kafka.bootstrap_servers, ledger.names
    # The worker shares partitions out in another way than this consumer.
    other_way = [RangePartitionAssignor]
    async with AIOKafkaConsumer(
        names.input, bootstrap_servers=servers, group_id=names.group, partition_assignment_strategy=other_way
    ):
        worker = workers.start(servers, special="free")
        assert await worker.ended() == ExitCode.ACCESS
    assert worker.errors[-1].startswith(f"error: group {names.group} is in use by consumers that share partitions out")
    assert len(worker.errors) == 1


async def holds_place(servers: str, group: str, instance_id: str) -> bool:
    """Whether a member of the group has this instance id, be it that it still waits for the others."""
    return any(each.startswith(f"{instance_id}-") for each in await kafka_tools.member_ids(servers, group))


def assert_said(worker: WorkerProcess) -> None:
    """Its last words are one line, and no traceback."""
    assert worker.errors[-1].startswith("error: another worker has the group_instance_id 'twice'")
    assert "give each worker an id of its own" in worker.errors[-1]
    assert len(worker.errors) == 1
    assert "Traceback" not in worker.output
