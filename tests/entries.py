"""Entries for the tests of batching and of what follows it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from worker.records import Encoding, Entry, Part, Record, TopicPartition, Window, parts_of

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


def make_windows(
    *lengths: int, arrived_at: float = 0.0, waiting_since: float | None = None, offset: int = 0
) -> list[Window]:
    """The windows, two or more, of one review; each numbered from 1 as the entries of `make_entry` are."""
    entry = make_entry(lengths[0], arrived_at=arrived_at, waiting_since=waiting_since, offset=offset)
    assert entry.encoding is not None
    entry.encoding.further = tuple(np.arange(1, length + 1, dtype=np.int32) for length in lengths[1:])
    windows = [part for part in parts_of([entry]) if isinstance(part, Window)]
    assert len(windows) == len(lengths) > 1
    return windows


def lengths_of(parts: Sequence[Part]) -> list[int]:
    """How many tokens each part has."""
    return [len(part.ids) for part in parts]
