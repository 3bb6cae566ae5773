"""Exactly once through a real broker: who fences whom, what a pending transaction hides, and the way from one guarantee
to the other."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import kafka_tools
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.errors import ProducerFenced
from aiokafka.structs import OffsetAndMetadata
from kafka_tools import Message
from ledger import Ledger
from worker_process import Workers, eventually

from worker.delivery.kafka_transactions import KafkaTransactions
from worker.delivery.offset_metadata import OffsetMetadata
from worker.delivery.silence import Silence
from worker.delivery.transactions import transactional_id
from worker.devkafka import Cluster
from worker.errors import ExitCode, FencedError
from worker.faust_app.committed import committed_offsets
from worker.records import OutputRecord
from worker.records import TopicPartition as Place

PARTITIONS = 2
EXACTLY_ONCE = {"special": "free", "processing_guarantee": "exactly_once", "session_timeout_s": 6}
AT_LEAST_ONCE = {"special": "free", "session_timeout_s": 6}


def review(number: int) -> Message:
    return Message(
        b'{"review_id":%d,"text":"number %d was good"}' % (number, number),
        b"key-%d" % (number % 8),
        partition=number % PARTITIONS,
    )


@pytest.fixture(autouse=True)
async def _topics(kafka: Cluster, ledger: Ledger) -> None:
    names = ledger.names
    topics = (names.input, names.output, names.dead_letters)
    await kafka_tools.create_topics(kafka.bootstrap_servers, *topics, partitions=PARTITIONS)


@pytest.fixture
def servers(kafka: Cluster) -> Iterator[str]:
    yield kafka.bootstrap_servers


@asynccontextmanager
async def producer_of(servers: str, ledger: Ledger, partition: int) -> AsyncIterator[AIOKafkaProducer]:
    """A producer with the identity that the worker has for an input partition; no deadline ends its transactions."""
    names = ledger.names
    producer = AIOKafkaProducer(
        bootstrap_servers=servers,
        transactional_id=f"{names.group}.{names.input}.{partition}",
        acks="all",
        transaction_timeout_ms=600_000,
    )
    await producer.start()
    try:
        yield producer
    finally:
        await producer.stop()


async def test_one_that_is_fenced_gives_up_one_partition_and_gets_it_back_and_the_others_go_on(
    servers: str, workers: Workers, ledger: Ledger
) -> None:
    worker = await workers.start(servers, **EXACTLY_ONCE).ready()
    await ledger.produce(servers, map(review, range(100)))
    await ledger.settled(servers)
    async with producer_of(servers, ledger, 0):
        await ledger.produce(servers, map(review, range(100, 200)))
        await worker.says(f"giving {ledger.names.input}/0 up")
        (await ledger.settled(servers)).check()
    assert await worker.metric("transactions_total{outcome=fenced}") == 1
    assert "Traceback" not in worker.output
    assert "never retrieved" not in worker.output
    assert await worker.stopped() == ExitCode.OK


async def test_nothing_of_one_that_was_fenced_is_left_for_the_event_loop_to_complain_of(
    servers: str, ledger: Ledger
) -> None:
    names = ledger.names
    place = Place(names.input, 0)

    def new_transactions() -> KafkaTransactions:
        def new_producer() -> AIOKafkaProducer:
            identity = transactional_id(names.group, place)
            return AIOKafkaProducer(bootstrap_servers=servers, transactional_id=identity, acks="all")

        return KafkaTransactions(
            place, names.group, new_producer, lambda _: asyncio.sleep(0, None), lambda _: OffsetMetadata(), Silence()
        )

    complaints: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
    first, second = new_transactions(), new_transactions()
    await first.open()
    await second.open()
    with pytest.raises(FencedError):
        await first.commit([OutputRecord(names.output, 0, b"key", b"{}", (), 1)], 1, 1)
    await first.close()
    await second.close()
    del first, second
    gc.collect()
    assert complaints == []


async def test_a_transaction_that_a_dead_worker_left_open_is_ended_by_the_next_owner(
    servers: str, workers: Workers, ledger: Ledger
) -> None:
    """What it had published is not there for who reads committed records, and is published again."""
    names = ledger.names
    await ledger.produce(servers, map(review, range(20)))
    async with producer_of(servers, ledger, 0) as dead:
        await dead.begin_transaction()
        await dead.send_and_wait(names.output, b"never committed", key=b"k", partition=0)
        await dead.send_offsets_to_transaction({TopicPartition(names.input, 0): 5}, names.group)
        worker = await workers.start(servers, **EXACTLY_ONCE).ready()
        (await ledger.settled(servers)).check()
        with pytest.raises(ProducerFenced):
            await dead.commit_transaction()
    assert await worker.stopped() == ExitCode.OK


async def test_whoever_takes_over_at_least_once_fences_whoever_was_there_exactly_once(
    servers: str, workers: Workers, ledger: Ledger
) -> None:
    names = ledger.names
    await ledger.produce(servers, map(review, range(20)))
    first = await workers.start(servers, **EXACTLY_ONCE).ready()
    await ledger.settled(servers)
    assert await first.stopped() == ExitCode.OK
    async with producer_of(servers, ledger, 0) as zombie:
        await zombie.begin_transaction()
        await zombie.send_offsets_to_transaction({TopicPartition(names.input, 0): 10}, names.group)
        second = await workers.start(servers, **AT_LEAST_ONCE).ready()
        with pytest.raises(ProducerFenced):
            await zombie.commit_transaction()
    await ledger.produce(servers, map(review, range(20, 40)))
    (await ledger.settled(servers)).check()
    assert await second.stopped() == ExitCode.OK


async def test_a_group_goes_from_one_guarantee_to_the_other_worker_by_worker_and_back(
    servers: str, workers: Workers, ledger: Ledger
) -> None:
    async with ledger.load(servers, review):
        worker = await workers.start(servers, **AT_LEAST_ONCE).ready()
        for settings in (EXACTLY_ONCE, AT_LEAST_ONCE, EXACTLY_ONCE):
            await worker.reaches("events_out_total", 100)
            joining = await workers.start(servers, **settings).ready()
            await joining.reaches("events_out_total", 100)
            assert await worker.stopped() == ExitCode.OK
            worker = joining
    (await ledger.settled(servers)).check()
    assert await worker.stopped() == ExitCode.OK
    ends = await kafka_tools.end_offsets(servers, ledger.names.input)
    assert await kafka_tools.stable_offsets(servers, ledger.names.group, ledger.names.input) == ends


async def test_an_offset_in_a_transaction_that_is_not_decided_is_waited_for(servers: str, ledger: Ledger) -> None:
    names = ledger.names
    partition = TopicPartition(names.input, 0)
    consumer = AIOKafkaConsumer(bootstrap_servers=servers, group_id=names.group, enable_auto_commit=False)
    async with consumer, producer_of(servers, ledger, 0) as producer:
        assert await committed_offsets(consumer, [partition]) == {}
        await producer.begin_transaction()
        offset = OffsetAndMetadata(7, "exactly_once")
        await producer.send_offsets_to_transaction({partition: offset}, names.group)
        reading = asyncio.create_task(committed_offsets(consumer, [partition]))
        done, _ = await asyncio.wait({reading}, timeout=0.5)
        assert not done
        await producer.commit_transaction()
        assert await reading == {partition: offset}


async def test_an_event_alone_is_published_at_once_and_a_broker_that_is_asked_for_more_than_it_allows_is_an_error(
    servers: str, workers: Workers, ledger: Ledger
) -> None:
    worker = await workers.start(servers, **EXACTLY_ONCE, commit_interval_s=3600).ready()
    await ledger.produce(servers, [review(0)])
    (await ledger.settled(servers)).check()
    assert await worker.stopped() == ExitCode.OK
    refused = workers.start(servers, **EXACTLY_ONCE, transaction_timeout_s=100_000)
    assert await refused.ended() == ExitCode.DELIVERY
    await eventually(lambda: refused.errors, "one line says why")
    assert "transaction_timeout_s" in refused.errors[-1]
