"""Headers whose names are not UTF-8, which aiokafka cannot read: their events are classified like any other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import kafka_tools
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from kafka_tools import Message
from ledger import Ledger
from raw_headers import LATIN_1, carried, raw, raw_names
from worker_process import Workers

from worker.devkafka import Cluster

CODECS = (None, "gzip", "snappy", "lz4", "zstd")
IN_A_BATCH = 9
ODD_PLACES = (0, 4, IN_A_BATCH - 1)
AWKWARD = (("trace", b"1"), (LATIN_1, b"v"), ("\udcff", None), (LATIN_1, b"\xff"))


@pytest.fixture(autouse=True)
async def _topics(kafka: Cluster, ledger: Ledger) -> None:
    names = ledger.names
    await kafka_tools.create_topics(
        kafka.bootstrap_servers, names.input, names.output, names.dead_letters, partitions=2
    )


def review(number: int, *, odd: bool, partition: int = 0) -> Message:
    value = b'{"text":"number %d was good"}' % number if number % 5 else b"not json %d" % number
    return Message(value, b"key-%d" % number, raw(AWKWARD) if odd else [("trace", b"1")], 1_000_000 + number, partition)


def one_batch(start: int, partition: int = 0) -> list[Message]:
    return [review(start + place, odd=place in ODD_PLACES, partition=partition) for place in range(IN_A_BATCH)]


async def send(
    servers: str,
    ledger: Ledger,
    messages: Sequence[Message],
    *,
    codec: str | None = None,
    transaction: str | None = None,
) -> None:
    """Send `messages`, which are for one partition, in one batch; a transaction is aborted when its name says so."""
    topic, partition = ledger.names.input, messages[0].partition
    producer = AIOKafkaProducer(
        bootstrap_servers=servers, acks="all", compression_type=codec, transactional_id=transaction
    )
    with raw_names():
        async with producer:
            if transaction:
                await producer.begin_transaction()
            batch = producer.create_batch()
            for each in messages:
                metadata = batch.append(
                    key=each.key, value=each.value, timestamp=each.timestamp_ms, headers=list(each.headers)
                )
                assert metadata is not None
            batch.close()
            first = await (await producer.send_batch(batch, topic, partition=partition))
            if transaction and "aborted" in transaction:
                await producer.abort_transaction()
                return
            if transaction:
                await producer.commit_transaction()
    expected = [replace(message, headers=carried(message.headers)) for message in messages]
    ledger.note(expected, [first._replace(offset=first.offset + place) for place in range(len(messages))])


@pytest.mark.parametrize("guarantee", ["at_least_once", "exactly_once"])
async def test_events_with_odd_names_and_those_around_them_come_out_once_in_order(
    kafka: Cluster, workers: Workers, ledger: Ledger, guarantee: str
) -> None:
    servers, names = kafka.bootstrap_servers, ledger.names
    for number, codec in enumerate(CODECS):
        await send(servers, ledger, one_batch(100 * number + 1), codec=codec)
        await send(servers, ledger, [review(100 * number + 51, odd=False, partition=1)], codec=codec)
    for number, transaction in enumerate(("aborted", "kept", "aborted", "kept")):
        await send(servers, ledger, one_batch(1000 + 100 * number), transaction=f"{names.group}.{transaction}")
    await send(servers, ledger, [review(2001, odd=True)])
    worker = await workers.start(servers, special="free", processing_guarantee=guarantee).ready()
    verdict = await ledger.settled(servers)
    verdict.check()
    assert verdict.outputs + verdict.dead_letters == len(CODECS) * (IN_A_BATCH + 1) + 2 * IN_A_BATCH + 1
    assert verdict.outputs > verdict.dead_letters > 0
    await send(servers, ledger, one_batch(3000, partition=1), codec="zstd")
    (await ledger.settled(servers)).check()
    assert await worker.metric("rebalances_total") == 1
    assert await worker.stopped() == 0
    assert "Traceback" not in worker.output


async def test_a_worker_begins_in_the_middle_of_a_batch_with_odd_names(
    kafka: Cluster, workers: Workers, ledger: Ledger
) -> None:
    servers, place = kafka.bootstrap_servers, TopicPartition(ledger.names.input, 0)
    for number, codec in enumerate((None, "lz4")):
        await send(servers, ledger, one_batch(100 * number + 1), codec=codec)
    begin = ODD_PLACES[1] + 1
    async with AIOKafkaConsumer(bootstrap_servers=servers, group_id=ledger.names.group) as consumer:
        consumer.assign([place])
        await consumer.commit({place: begin})
    ledger.optional = set(list(ledger.produced)[:begin])
    await workers.start(servers, special="free").ready()
    verdict = await ledger.settled(servers)
    verdict.check()
    assert verdict.outputs + verdict.dead_letters == 2 * IN_A_BATCH - begin
