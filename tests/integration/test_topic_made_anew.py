"""An input topic that is deleted and created again under its name: its offsets mean other records than before."""

from __future__ import annotations

import signal

import kafka_tools
import orjson
import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.structs import OffsetAndMetadata
from kafka_tools import Message
from ledger import Ledger
from worker_process import Workers

from worker.devkafka import Cluster
from worker.errors import ExitCode

GUARANTEES = ("at_least_once", "exactly_once")
OLD, NEW, SECOND = 50, 200, 10_000
"""So many records before, and more after: the old position is one in the middle of the new topic."""


def review(number: int) -> Message:
    return Message(b'{"review_id":%d,"text":"number %d was good"}' % (number, number), b"key", partition=0)


async def made_anew(servers: str, topic: str) -> None:
    """Delete the topic and create it again, with `NEW` records."""
    await kafka_tools.created_again(servers, topic)
    await kafka_tools.produce(servers, topic, map(review, range(SECOND, SECOND + NEW)))


async def outputs(servers: str, topic: str) -> list[int]:
    """The numbers of the reviews that came of the new topic, once the last one is there."""

    def number(record: kafka_tools.ConsumerRecord) -> int:
        return int(orjson.loads(record.value)["review_id"])

    records = await kafka_tools.consume_all(
        servers, topic, until=lambda seen: any(number(each) == SECOND + NEW - 1 for each in seen), read_committed=True
    )
    return [number(each) for each in records if number(each) >= SECOND]


async def stored(servers: str, group: str, partition: TopicPartition) -> OffsetAndMetadata:
    async with AIOKafkaConsumer(bootstrap_servers=servers, group_id=group, enable_auto_commit=False) as consumer:
        consumer.assign([partition])
        found = await kafka_tools.committed.committed_offsets(consumer, [partition])
        return found[partition]


async def store(servers: str, group: str, partition: TopicPartition, offset: OffsetAndMetadata) -> None:
    async with AIOKafkaConsumer(bootstrap_servers=servers, group_id=group, enable_auto_commit=False) as consumer:
        consumer.assign([partition])
        await consumer.commit({partition: offset})


@pytest.mark.parametrize("guarantee", GUARANTEES)
async def test_what_was_committed_in_the_topic_before_does_not_count(
    guarantee: str, kafka: Cluster, workers: Workers, ledger: Ledger
) -> None:
    """The last commit of a worker that was frozen, or an old transaction, arrives when the new topic is there."""
    servers, names = kafka.bootstrap_servers, ledger.names
    partition = TopicPartition(names.input, 0)
    await kafka_tools.create_topics(servers, names.input, names.output, names.dead_letters)
    await kafka_tools.produce(servers, names.input, map(review, range(OLD)))
    settings = {"special": "free", "processing_guarantee": guarantee, "from_beginning": "true"}
    first = await workers.start(servers, **settings).ready()
    await first.reaches("events_out_total", OLD)
    assert await first.stopped() == ExitCode.OK
    late = await stored(servers, names.group, partition)
    assert late.offset == OLD
    assert "topic_id=" in late.metadata
    await made_anew(servers, names.input)
    await store(servers, names.group, partition, late)
    second = await workers.start(servers, **settings).ready()
    assert await outputs(servers, names.output) == list(range(SECOND, SECOND + NEW))
    line = await second.says(f"{names.input}/0 is read from its beginning: the group has committed {OLD}")
    assert line.level == "ERROR"
    assert await second.stopped() == ExitCode.OK
    last = await stored(servers, names.group, partition)
    assert last.offset >= NEW
    assert last.metadata != late.metadata
    third = await workers.start(servers, **settings).ready()
    await third.says("assigned 1 partitions")
    assert not third.said("read from its beginning")


@pytest.mark.parametrize("from_beginning", ["true", "false"])
@pytest.mark.parametrize("guarantee", GUARANTEES)
async def test_a_worker_that_was_frozen_meanwhile_reads_the_new_topic_from_its_beginning(
    guarantee: str, from_beginning: str, kafka: Cluster, workers: Workers, ledger: Ledger
) -> None:
    servers, names = kafka.bootstrap_servers, ledger.names
    await kafka_tools.create_topics(servers, names.input, names.output, names.dead_letters)
    settings = {"special": "free", "processing_guarantee": guarantee, "from_beginning": from_beginning}
    worker = await workers.start(servers, **settings).ready()
    await kafka_tools.produce(servers, names.input, map(review, range(OLD)))
    await worker.reaches("events_out_total", OLD)
    worker.send(signal.SIGSTOP)
    await made_anew(servers, names.input)
    worker.send(signal.SIGCONT)
    numbers = await outputs(servers, names.output)
    assert list(dict.fromkeys(numbers)) == list(range(SECOND, SECOND + NEW))
    if guarantee == "exactly_once":
        assert len(numbers) == NEW
    line = await worker.says(f"{names.input} was deleted and created anew", f"0 to {OLD}")
    assert line.level == "ERROR"
    assert "Traceback" not in worker.output
    assert await worker.stopped() == ExitCode.OK


async def test_an_offset_without_an_id_counts_as_one_of_the_topic_that_there_is(
    kafka: Cluster, workers: Workers, ledger: Ledger
) -> None:
    servers, names = kafka.bootstrap_servers, ledger.names
    await kafka_tools.create_topics(servers, names.input, names.output, names.dead_letters)
    await kafka_tools.produce(servers, names.input, map(review, range(SECOND, SECOND + NEW)))
    await store(servers, names.group, TopicPartition(names.input, 0), OffsetAndMetadata(OLD, "somebody's own words"))
    worker = await workers.start(servers, special="free").ready()
    assert await outputs(servers, names.output) == list(range(SECOND + OLD, SECOND + NEW))
    assert not worker.said("read from its beginning")
