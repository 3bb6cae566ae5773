"""Entries for the tests of batching and of what follows it."""

from __future__ import annotations

import numpy as np

from worker.records import Encoding, Entry, Record, TopicPartition

PARTITION = TopicPartition("reviews.in", 0)


def make_entry(
    length: int | None,
    *,
    arrived_at: float = 0.0,
    waiting_since: float | None = None,
    offset: int = 0,
    partition: TopicPartition = PARTITION,
) -> Entry:
    """An entry of `length` tokens, numbered from 1; without an encoding for None; as old as its time in the worker."""
    record = Record(partition, offset, 0, None, b"{}", (), 1)
    encoding = None if length is None else Encoding(np.arange(1, length + 1, dtype=np.int32), truncated=False)
    age_from = arrived_at if waiting_since is None else waiting_since
    return Entry(record, encoding, has_result=False, arrived_at=arrived_at, waiting_since=age_from)


def lengths_of(entries: tuple[Entry, ...]) -> list[int]:
    """How many tokens each entry has."""
    return [len(entry.encoding) for entry in entries if entry.encoding is not None]
