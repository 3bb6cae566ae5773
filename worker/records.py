"""The values that flow through the worker, first to last."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from worker.errors import RecordError

Headers = tuple[tuple[str, bytes | None], ...]
"""Kafka record headers: a sequence of pairs; a name may repeat."""


class TopicPartition(NamedTuple):
    """One partition of one topic."""

    topic: str
    partition: int


@dataclass(slots=True)
class Record:
    """One consumed record, as the broker gave it. Treat it as immutable."""

    partition: TopicPartition
    offset: int
    timestamp_ms: int
    """Milliseconds since the epoch; below zero where the record carries none."""
    key: bytes | None
    value: bytes | None
    """None is a tombstone."""
    headers: Headers
    generation: int
    """Number of the assignment that delivered it."""
    size_bytes: int = field(init=False)
    """Bytes of key and value."""

    def __post_init__(self) -> None:
        self.size_bytes = len(self.key or b"") + len(self.value or b"")

    @property
    def source(self) -> str:
        """``<topic>/<partition>/<offset>``: unique in a cluster, so a consumer can drop repeats by it."""
        return f"{self.partition.topic}/{self.partition.partition}/{self.offset}"


@dataclass(slots=True)
class Chunk:
    """Consecutive records of one partition, fetched under one assignment: what is handed over at once."""

    partition: TopicPartition
    generation: int
    follows: int | None
    """The next offset after the chunk before this one; None for the first of its generation."""
    records: list[Record]
    """In order of offset, never empty."""


@dataclass(slots=True)
class ReviewEvent:
    """The contract in: an accepted event, of which only the text matters to the worker."""

    text: str
    has_result: bool
    """The event already has a member named as the one that the worker adds."""


@dataclass(slots=True)
class Prediction:
    """What the model says of one review."""

    scores: tuple[float, ...]
    """Probabilities, one for each label, in the model's order."""
    tokens: int
    """Tokens that the model read, ``[CLS]`` and ``[SEP]`` included."""
    truncated: bool


@dataclass(slots=True)
class Encoding:
    """Token ids that fit the model: int32, shape ``[length]``, ``[CLS]`` first and ``[SEP]`` last.

    Treat it as immutable; it is not frozen because one is made for each review, and that takes three times as long.
    """

    ids: npt.NDArray[np.int32]
    truncated: bool

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(slots=True, eq=False)
class Entry:
    """One record on its way through the worker, from intake to acknowledged output.

    A record to classify has an `encoding` and waits for its `outcome`. A tombstone and a rejected event have no
    encoding; the outcome of a tombstone is its own null value (`TOMBSTONE`), that of a rejected event its error.
    """

    record: Record
    encoding: Encoding | None
    has_result: bool
    """The event already has a member named as the one that the worker adds."""
    arrived_at: float
    """Monotonic seconds at intake."""
    waiting_since: float
    """Monotonic seconds from which its age counts: earlier than `arrived_at` when the event carries a time."""
    outcome: Prediction | RecordError | Tombstone | None = None


class Tombstone:
    """The outcome of a record without a value; see `TOMBSTONE`."""


TOMBSTONE = Tombstone()


@dataclass(slots=True)
class OutputRecord:
    """One record to publish, for the output topic or the dead-letter topic."""

    topic: str
    partition: int
    key: bytes | None
    value: bytes | None
    headers: Headers
    timestamp_ms: int
