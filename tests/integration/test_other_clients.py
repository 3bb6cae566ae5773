"""Clients that are not aiokafka: what librdkafka sends, and a member of the group with the new protocol (KIP-848)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

import confluent_kafka
import kafka_tools
import pytest
from kafka_tools import Message
from ledger import Ledger
from worker_process import Workers, eventually

from worker.devkafka import Cluster

CODECS = ("none", "gzip", "snappy", "lz4", "zstd")
ODD_HEADERS = [
    [],
    [("empty", b""), ("null", None), ("", b"no name"), ("twice", b"1"), ("twice", b"2")],
    [("bytes", bytes(range(256))), ("größe 🎬", "größe".encode()), ("large", b"x" * 50_000)],
    [("source", b"reviews.in/9/9"), ("__streams.errors.message", b"not ours")],
]
PER_CODEC = 40
GUARANTEES = ("at_least_once", "exactly_once")


def reviews(codec: str) -> list[Message]:
    """Some with an empty key or none, and each fifth one no JSON. A key is always in one partition."""
    now_ms = time.time_ns() // 1_000_000
    return [
        Message(
            b'{"text":"%s number %d was good"}' % (codec.encode(), number) if number % 5 else b"not json",
            [None, b"", b"key-%d" % number][number % 3],
            ODD_HEADERS[number % len(ODD_HEADERS)],
            now_ms - number,
            0 if number % 3 == 1 else number % 2,
        )
        for number in range(PER_CODEC)
    ]


def send(servers: str, topic: str, messages: list[Message], **options: Any) -> list[confluent_kafka.Message]:
    """Send with librdkafka, and wait for all acknowledgements; answers where each went, in their order."""
    producer = confluent_kafka.Producer({"bootstrap.servers": servers, "linger.ms": 20, "acks": "all", **options})
    sent: dict[int, confluent_kafka.Message] = {}

    def noted(number: int) -> Callable[[Any, confluent_kafka.Message], None]:
        def note(error: Any, message: confluent_kafka.Message) -> None:
            assert error is None, error
            sent[number] = message

        return note

    for number, each in enumerate(messages):
        producer.produce(
            topic,
            each.value,
            each.key,
            partition=each.partition,
            timestamp=each.timestamp_ms,
            headers=list(each.headers),
            on_delivery=noted(number),
        )
    assert producer.flush(30) == 0
    return [sent[number] for number in range(len(messages))]


@pytest.mark.parametrize("guarantee", GUARANTEES)
async def test_every_codec_and_odd_header_of_librdkafka_comes_through(
    guarantee: str, kafka: Cluster, workers: Workers, ledger: Ledger
) -> None:
    servers, names = kafka.bootstrap_servers, ledger.names
    await kafka_tools.create_topics(servers, names.input, names.output, names.dead_letters, partitions=2)
    for codec in CODECS:
        options = {"compression.type": codec, "enable.idempotence": codec != "gzip"}
        messages = reviews(codec)
        sent = await asyncio.to_thread(send, servers, names.input, messages, **options)
        ledger.produced |= {
            f"{each.topic()}/{each.partition()}/{each.offset()}": message
            for each, message in zip(sent, messages, strict=True)
        }
    worker = await workers.start(servers, special="free", processing_guarantee=guarantee).ready()
    verdict = await ledger.settled(servers)
    verdict.check()
    assert len(ledger.produced) == PER_CODEC * len(CODECS)
    assert await worker.stopped() == 0


def member(servers: str, group: str, topic: str) -> confluent_kafka.Consumer:
    consumer = confluent_kafka.Consumer(
        {
            "bootstrap.servers": servers,
            "group.id": group,
            "group.protocol": "consumer",
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
        }
    )
    consumer.subscribe([topic])
    return consumer


@pytest.mark.parametrize("guarantee", GUARANTEES)
async def test_a_member_with_the_new_group_protocol_comes_and_goes(
    guarantee: str, kafka: Cluster, workers: Workers, ledger: Ledger
) -> None:
    """It takes partitions and commits nothing; when it has left, the worker has them, and has lost nothing."""
    servers, names = kafka.bootstrap_servers, ledger.names
    await kafka_tools.create_topics(servers, names.input, names.output, names.dead_letters, partitions=2)
    worker = await workers.start(servers, special="free", processing_guarantee=guarantee).ready()
    await ledger.produce(servers, [Message(b'{"text":"good"}', partition=number % 2) for number in range(100)])
    other = member(servers, names.group, names.input)
    try:

        async def shares() -> bool:
            await asyncio.to_thread(other.poll, 0.2)
            return len(other.assignment()) == 1

        await eventually(shares, "the other member has one of two partitions")
        await ledger.produce(servers, [Message(b'{"text":"good"}', partition=number % 2) for number in range(100)])
    finally:
        await asyncio.to_thread(other.close)
    await worker.reaches("assigned_partitions", 2)
    (await ledger.settled(servers)).check()
    assert await worker.stopped() == 0
