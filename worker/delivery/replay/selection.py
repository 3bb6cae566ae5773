"""Which dead letters are sent again, and as what; pure."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from aiokafka.partitioner import murmur2

from worker.delivery.replay.letters import HOPS_HEADER, DeadLetter
from worker.records import OutputRecord


class Left(enum.StrEnum):
    """Why a dead letter is left in place, in words for a person."""

    REPLAYED = "replayed before"
    FILTERED = "not asked for"
    HOPS = "at the limit of hops"
    ELSEWHERE = "of another topic"
    TOO_OLD = "older than the topic keeps"
    TOO_LARGE = "larger than the topic takes"
    FOREIGN = "not written by this worker"


@dataclass(frozen=True, slots=True)
class Wanted:
    """The filter of a person; what it says nothing of is wanted."""

    reasons: frozenset[str] = frozenset()
    since_ms: int | None = None
    """Earliest time of the event, in milliseconds since the epoch."""

    def wants(self, letter: DeadLetter) -> bool:
        """Whether `letter` passes; one without a time passes no filter by time."""
        if self.reasons and (letter.latest is None or letter.latest.reason not in self.reasons):
            return False
        return self.since_ms is None or letter.record.timestamp_ms >= self.since_ms


@dataclass(frozen=True, slots=True)
class Target:
    """The topic that dead letters are sent to, as it is."""

    topic: str
    partitions: int
    max_batch_bytes: int | None = None
    """Largest batch of records that it takes; None when that cannot be read."""
    retention_ms: int | None = None
    """Records with a time longer ago than this are deleted; None when they are not, or when it cannot be read."""


@dataclass(frozen=True, slots=True)
class Selection:
    """Which letters are sent again, and where to."""

    target: Target
    wanted: Wanted
    max_hops: int
    now_ms: int
    """The time of this replay."""
    from_any_topic: bool = False
    """Events that were read elsewhere go to the target too."""
    new_time: bool = False
    """The events get the time of the replay instead of their own."""

    def leaves(self, letter: DeadLetter) -> Left | None:
        """Why `letter` is left in place; None when it is sent."""
        failure = letter.latest
        if failure is None:
            return Left.FOREIGN
        if not self.wanted.wants(letter):
            return Left.FILTERED
        if failure.topic != self.target.topic and not self.from_any_topic:
            return Left.ELSEWHERE
        if letter.hops >= self.max_hops:
            return Left.HOPS
        if self._expires_soon(letter.record.timestamp_ms):
            return Left.TOO_OLD
        return None

    def replayed(self, letter: DeadLetter) -> OutputRecord:
        """The event as it is sent again: its key, value, headers and time, and a last header with the hops so far.

        It goes to the partition that it came from, where that is one of the target's, so that the order of its key
        stays that of its partition. Otherwise by key, as Kafka's default partitioner chooses.
        """
        record = letter.record
        headers = (*letter.event_headers, (HOPS_HEADER, str(letter.hops + 1).encode()))
        timestamp_ms = self.now_ms if self.new_time or record.timestamp_ms < 0 else record.timestamp_ms
        return OutputRecord(self.target.topic, self._partition(letter), record.key, record.value, headers, timestamp_ms)

    def _partition(self, letter: DeadLetter) -> int:
        failure, key, count = letter.latest, letter.record.key, self.target.partitions
        if failure is not None and failure.topic == self.target.topic and 0 <= failure.partition < count:
            return failure.partition
        if key is None:
            return letter.record.partition.partition % count
        hashed: int = murmur2(key) & 0x7FFFFFFF
        return hashed % count

    def _expires_soon(self, timestamp_ms: int) -> bool:
        """Whether the target would delete the event before anybody can be sure to have read it.

        A tenth of the retention is left for reading it.
        """
        if self.new_time or timestamp_ms < 0 or self.target.retention_ms is None:
            return False
        return self.now_ms - timestamp_ms >= self.target.retention_ms * 9 // 10
