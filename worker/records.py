"""The values that flow through the worker, first to last."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

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

    @property
    def source(self) -> str:
        """``<topic>/<partition>/<offset>``: unique in a cluster, so a consumer can drop repeats by it."""
        return f"{self.partition.topic}/{self.partition.partition}/{self.offset}"

    @property
    def size_bytes(self) -> int:
        """Bytes of key and value."""
        return len(self.key or b"") + len(self.value or b"")


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
class OutputRecord:
    """One record to publish, for the output topic or the dead-letter topic."""

    topic: str
    partition: int
    key: bytes | None
    value: bytes | None
    headers: Headers
    timestamp_ms: int
