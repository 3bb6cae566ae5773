"""Where a group without committed offsets starts, and one whose committed offset was deleted."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import kafka_tools
import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.records_to_delete import RecordsToDelete
from conftest import TopicNames
from kafka_tools import Message
from ledger import Ledger
from worker_process import WorkerProcess, Workers, eventually

from worker.devkafka import Cluster
from worker.kafka.compat.stable_offset_fetch import committed_offsets
from worker.records import TopicPartition as Place
from worker.source import start_offsets
from worker.source.topic_ids import TopicIds

OLD, NEW = 10, 5


def numbered(first: int, count: int) -> list[Message]:
    return [
        Message(b'{"review_id":%d,"text":"a film"}' % number, partition=0) for number in range(first, first + count)
    ]


async def test_a_group_that_starts_with_new_records_never_skips_one_after_its_start(
    kafka: Cluster, workers: Workers, ledger: Ledger
) -> None:
    servers, names = kafka.bootstrap_servers, ledger.names
    await kafka_tools.create_topics(servers, names.input)
    await kafka_tools.produce(servers, names.input, numbered(0, OLD))
    worker = await workers.start(servers, special="free", from_beginning="false").ready()
    assert await kafka_tools.committed_offsets(servers, names.group) == {TopicPartition(names.input, 0): OLD}
    worker.kill()
    # Nothing was classified yet, so nothing but the stored start keeps these from being skipped.
    await kafka_tools.produce(servers, names.input, numbered(OLD, NEW))
    await workers.start(servers, special="free", from_beginning="false").ready()
    records = await kafka_tools.consume_all(servers, names.output, count=NEW)
    sources = [dict(record.headers)["source"].decode() for record in records]
    assert sources == [f"{names.input}/0/{offset}" for offset in range(OLD, OLD + NEW)]


async def test_a_partition_that_is_added_later_is_read_from_its_beginning_by_a_group_that_started_with_new_records(
    kafka: Cluster, workers: Workers, ledger: Ledger
) -> None:
    servers, names = kafka.bootstrap_servers, ledger.names
    await kafka_tools.create_topics(servers, names.input, partitions=2)
    await kafka_tools.produce(servers, names.input, numbered(0, OLD))
    first = await workers.start(servers, special="free", from_beginning="false").ready()
    start = await kafka_tools.committed_offsets(servers, names.group)
    assert start == {TopicPartition(names.input, 0): OLD, TopicPartition(names.input, 1): 0}
    await first.stopped()
    await kafka_tools.create_partitions(servers, names.input, 3)
    added = [Message(b'{"review_id":1,"text":"a film"}', partition=2)] * NEW
    await kafka_tools.produce(servers, names.input, added)
    await workers.start(servers, special="free", from_beginning="false").ready()
    records = await kafka_tools.consume_all(servers, names.output, count=NEW)
    sources = [dict(record.headers)["source"].decode() for record in records]
    assert sources == [f"{names.input}/2/{offset}" for offset in range(NEW)]


async def test_what_retention_deleted_unread_is_told_and_the_rest_is_classified(
    kafka: Cluster, workers: Workers, ledger: Ledger
) -> None:
    servers, names = kafka.bootstrap_servers, ledger.names
    await kafka_tools.create_topics(servers, names.input)
    await kafka_tools.produce(servers, names.input, numbered(0, 1))
    first = await workers.start(servers, special="free", from_beginning="false").ready()
    await first.stopped()
    await kafka_tools.produce(servers, names.input, numbered(1, OLD))
    admin = AIOKafkaAdminClient(bootstrap_servers=servers)
    await admin.start()
    await admin.delete_records({TopicPartition(names.input, 0): RecordsToDelete(before_offset=4)})
    await admin.close()
    second = await workers.start(servers, special="free", from_beginning="false").ready()
    records = await kafka_tools.consume_all(servers, names.output, count=OLD + 1 - 4)
    assert dict(records[0].headers)["source"].decode() == f"{names.input}/0/4"
    await second.says(f"3 records of {names.input}/0 were deleted", "(1 to 3)")


def told(worker: WorkerProcess) -> list[tuple[str, str]]:
    """What the worker says of partitions without an offset: level, and what comes of them."""
    return [(line.level, line.message.partition("; ")[2]) for line in worker.said("has no committed offset of")]


@pytest.mark.parametrize(
    ("from_beginning", "what"),
    [
        ("true", "it starts at their beginning (from_beginning is on): up to 10 records are read, again if it is not"),
        ("false", "it starts at their end (from_beginning is off): up to 10 records that are there are not read"),
    ],
)
async def test_a_group_that_was_renamed_says_what_becomes_of_the_records(
    from_beginning: str, what: str, kafka: Cluster, workers: Workers, ledger: Ledger
) -> None:
    """So does one whose offsets have expired, or were deleted: to Kafka all are new."""
    servers, names = kafka.bootstrap_servers, ledger.names
    await kafka_tools.create_topics(servers, names.input, partitions=3)
    await kafka_tools.produce(servers, names.input, numbered(0, OLD))
    first = await workers.start(servers, special="free").ready()
    await first.reaches("events_out_total", OLD)
    assert await first.stopped() == 0
    renamed = f"{names.group}.renamed"
    second = workers.start(servers, special="free", from_beginning=from_beginning, group=renamed)
    await second.says(f"group {renamed} has no committed offset of partitions 0-2 of {names.input}")
    ((level, told_of),) = told(await second.ready())
    assert level == "WARNING"
    assert told_of.startswith(what)


async def test_a_new_group_on_an_empty_topic_is_no_reason_to_worry(
    kafka: Cluster, workers: Workers, ledger: Ledger
) -> None:
    worker = await workers.start(kafka.bootstrap_servers, special="free").ready()
    assert told(worker) == [
        ("INFO", "it starts at their beginning (from_beginning is on): there are no records yet"),
    ]


def test_partitions_are_named_in_ranges() -> None:
    assert start_offsets.in_ranges([7, 0, 1, 2, 3, 9, 10]) == "0-3, 7, 9-10"
    assert start_offsets.in_ranges([]) == ""


async def starts_of(consumer: AIOKafkaConsumer) -> dict[Place, int | None]:
    topic_ids = TopicIds(consumer, lambda: 1)
    starts = start_offsets.Starts(consumer, topic_ids, from_beginning=False)
    return await starts.of(list(consumer.assignment()), 1)


async def test_of_two_that_begin_a_group_at_once_the_later_one_starts_where_the_other_has_stored(
    kafka: Cluster, topic_names: TopicNames, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both look before either stores."""
    servers, names = kafka.bootstrap_servers, topic_names
    await kafka_tools.create_topics(servers, names.input, partitions=2)
    await kafka_tools.produce(servers, names.input, [Message(b"old", partition=each % 2) for each in range(2 * OLD)])
    both_have_looked, first_is_done = asyncio.Barrier(2), asyncio.Event()
    looks: Counter[AIOKafkaConsumer] = Counter()

    async def look(consumer: AIOKafkaConsumer, partitions: Sequence[TopicPartition]) -> Mapping[TopicPartition, Any]:
        looks[consumer] += 1
        stored = await committed_offsets(consumer, partitions)
        if looks[consumer] == 1:
            await both_have_looked.wait()
            if consumer is second:
                await first_is_done.wait()
        return stored

    monkeypatch.setattr(start_offsets, "committed_offsets", look)
    options = {"bootstrap_servers": servers, "group_id": names.group, "enable_auto_commit": False}
    async with AIOKafkaConsumer(names.input, **options) as first, AIOKafkaConsumer(names.input, **options) as second:
        await eventually(lambda: len(first.assignment()) == len(second.assignment()) == 1, "each has a partition")
        later = asyncio.create_task(starts_of(second))
        starts = await starts_of(first)
        first_is_done.set()
        assert starts | await later == {Place(names.input, 0): OLD, Place(names.input, 1): OLD}
