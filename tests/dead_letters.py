"""Dead letters as the worker writes them, for tests."""

from __future__ import annotations

from kafka_tools import Message

from worker.delivery.dead_letters import dead_letter
from worker.errors import Reason, RecordError, Stage
from worker.records import Headers, Record, TopicPartition
from worker.replay.letters import HOPS_HEADER, DeadLetter, read_letter

TOPIC = "reviews.dlq"


def event(
    source: str = "reviews.in/3/1207",
    *,
    key: bytes | None = b"k",
    value: bytes | None = b"\xff",
    headers: Headers = (),
    timestamp_ms: int = 1234,
    hops: int = 0,
) -> Record:
    """An event as the worker reads it, sent again `hops` times before."""
    topic, partition, offset = source.split("/")
    if hops:
        headers = (*headers, (HOPS_HEADER, str(hops).encode()))
    return Record(TopicPartition(topic, int(partition)), int(offset), timestamp_ms, key, value, headers, 1)


def failed(record: Record, reason: Reason = Reason.NOT_UTF8, *, partition: int = 2, offset: int = 17) -> Record:
    """The record on the dead-letter topic that becomes of an event."""
    error = RecordError(reason, Stage.DECODE, f"wrong: {reason}")
    letter = dead_letter(record, error, TOPIC, partition, time_of_now=reason is Reason.TIMESTAMP_REFUSED)
    place = TopicPartition(TOPIC, partition)
    return Record(place, offset, letter.timestamp_ms, letter.key, letter.value, letter.headers, 0)


def letter_of(record: Record, reason: Reason = Reason.NOT_UTF8, *, partition: int = 2, offset: int = 17) -> DeadLetter:
    """The same, read again."""
    return read_letter(failed(record, reason, partition=partition, offset=offset))


def message(record: Record, reason: Reason = Reason.NOT_UTF8, *, partition: int = 0) -> Message:
    """The same, to produce."""
    letter = failed(record, reason)
    timestamp_ms = None if letter.timestamp_ms < 0 else letter.timestamp_ms
    return Message(letter.value, letter.key, letter.headers, timestamp_ms, partition)
