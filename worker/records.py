"""The values that flow through the worker, first to last."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from worker.errors import RecordError

Headers = tuple[tuple[str, bytes | None], ...]
"""Kafka record headers: a sequence of pairs; a name may repeat."""
TokenIds = npt.NDArray[np.int32]
NO_TIMESTAMP = -1
"""Kafka's own mark of a record without a time."""


RECORD_BYTES = 1024
"""What a record takes besides its bytes: the objects around it, its token ids, its place in queues."""
HEADER_BYTES = 192
"""What a header takes besides its bytes: a pair, a string, a bytes object, and its place in three sequences."""


def bytes_in_memory(key: bytes | None, value: bytes | None, headers: Sequence[tuple[str, bytes | None]]) -> int:
    """What a record takes in memory on its way: the value counts twice, since its output holds it once more."""
    size = RECORD_BYTES
    if key is not None:
        size += len(key)
    if value is not None:
        size += 2 * len(value)
    for name, content in headers:
        size += HEADER_BYTES + (len(name) if name.isascii() else 4 * len(name))
        if content is not None:
            size += len(content)
    return size


class TopicPartition(NamedTuple):
    """One partition of one topic."""

    topic: str
    partition: int

    @property
    def place(self) -> str:
        """``<topic>/<partition>``, for people."""
        return f"{self.topic}/{self.partition}"


@dataclass(slots=True)
class Record:
    """One consumed record, as the broker gave it. Treat it as immutable."""

    partition: TopicPartition
    offset: int
    timestamp_ms: int
    """Milliseconds since the epoch, before 1970 below zero; `NO_TIMESTAMP` where the record carries none."""
    key: bytes | None
    value: bytes | None
    """None is a tombstone."""
    headers: Headers
    generation: int
    """Number of the assignment that delivered it."""
    size_bytes: int = field(init=False)
    """What it takes in memory until its output is acknowledged; see `bytes_in_memory`."""

    def __post_init__(self) -> None:
        self.size_bytes = bytes_in_memory(self.key, self.value, self.headers)

    @property
    def source(self) -> str:
        """``<topic>/<partition>/<offset>``: unique in a cluster, so a consumer can drop repeats by it."""
        return f"{self.partition.place}/{self.offset}"


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
    """Tokens that the model read, ``[CLS]`` and ``[SEP]`` included; of several windows, of all together."""
    truncated: bool
    """Something of the review was not read."""
    windows: int = 1
    """Windows that the review was read in."""
    unknown: float = 0.0
    """See `Encoding.unknown`."""


@dataclass(slots=True)
class Encoding:
    """What the model reads of one text: token ids, in one window or in several.

    Treat it as immutable; it is not frozen because one is made for each review, and that takes three times as long.
    """

    ids: TokenIds
    """The first window, mostly the only one: int32 ``[length]``, ``[CLS]`` first and ``[SEP]`` last."""
    truncated: bool
    """Something of the text is in no window."""
    further: tuple[TokenIds, ...] = ()
    """The windows after the first, of the same form, in the order of the text."""
    unknown: float = 0.0
    """Share of what is read that the vocabulary does not have, 0 to 1: characters in unknown pieces, of all but spaces.

    They are counted as the model reads them: normalised, without accents. What several windows share counts once.
    """

    @property
    def windows(self) -> tuple[TokenIds, ...]:
        """All windows."""
        return (self.ids, *self.further)

    def __len__(self) -> int:
        """Tokens that the model reads, over all windows: what two of them share counts twice."""
        return len(self.ids) + sum(map(len, self.further))


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
    window_scores: dict[int, tuple[float, ...]] | None = None
    """Of a review in several windows: the scores of those that are computed, by their number."""
    trace: object | None = None
    """What `worker.observability.tracing` keeps of it; None without tracing."""

    @property
    def ids(self) -> TokenIds:
        """What a batch computes of it; raises ValueError when it has no encoding, or several windows."""
        encoding = self.encoding
        if encoding is None or encoding.further:
            lacks = "no encoding" if encoding is None else "several windows"
            raise ValueError(f"This is a bug: {self.record.source} has {lacks} and cannot be one row of a batch")
        return encoding.ids


@dataclass(slots=True, eq=False)
class Window:
    """One of several windows of a review: computed by itself, wherever it fits.

    It knows its entry, and not the other way round: a cycle would stay in memory until the garbage collector runs.
    """

    entry: Entry
    number: int
    """Its place among the windows of the entry, from 0."""
    ids: TokenIds

    @property
    def record(self) -> Record:
        return self.entry.record

    @property
    def arrived_at(self) -> float:
        return self.entry.arrived_at

    @property
    def waiting_since(self) -> float:
        return self.entry.waiting_since


Part = Entry | Window
"""What waits for a batch and becomes one row of it: a window, or the entry itself, which mostly has only one.

An object more for each review would cost what the whole queue costs, so an entry in one window is its own part.
"""


def parts_of(entries: Iterable[Entry]) -> Iterator[Part]:
    """What has to be computed of `entries`, in their order: nothing of those that have an outcome."""
    for entry in entries:
        if entry.outcome is not None:
            continue
        encoding = entry.encoding
        if encoding is None or not encoding.further:
            yield entry
            continue
        entry.window_scores = {}
        for number, ids in enumerate(encoding.windows):
            yield Window(entry, number, ids)


def entry_of(part: Part) -> Entry:
    """The entry that `part` belongs to."""
    return part.entry if isinstance(part, Window) else part


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
    """Milliseconds since the epoch; below zero for the time at which it is sent."""
