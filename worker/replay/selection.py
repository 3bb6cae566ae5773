"""Which dead letters are sent again, and as what; pure."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from aiokafka.partitioner import murmur2

from worker.delivery.outputs import SOURCE_TIMESTAMP_HEADER
from worker.records import NO_TIMESTAMP, OutputRecord
from worker.replay.letters import HOPS_HEADER, DeadLetter


class Left(enum.StrEnum):
    """Why a dead letter is left in place, in words for a person."""

    REPLAYED = "replayed before"
    FILTERED = "not asked for"
    HOPS = "at the limit of hops"
    ELSEWHERE = "of another topic"
    TOO_OLD = "older than the topic keeps"
    TIME_REFUSED = "of a time that the topic does not take"
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
        return self.since_ms is None or letter.timestamp_ms >= self.since_ms


@dataclass(frozen=True, slots=True)
class Target:
    """The topic that dead letters are sent to, as it is."""

    topic: str
    partitions: int
    max_batch_bytes: int | None = None
    """Largest batch of records that it takes; None when that cannot be read."""
    retention_ms: int | None = None
    """Records with a time longer ago than this are deleted; None when they are not, or when it cannot be read."""
    oldest_ms: int | None = None
    """Records with a time longer ago than this are not taken; None when all are, or when it cannot be read."""
    ahead_ms: int | None = None
    """The same for a time that is still to come."""


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
        return self._for_its_time(letter.timestamp_ms)

    def replayed(self, letter: DeadLetter) -> OutputRecord:
        """The event as it is sent again: its key, value, headers and own time, and a last header with the hops so far.

        One from before 1970 has its time in a header, since Kafka's clients write no such timestamp.

        It goes to the partition that it came from, where that is one of the target's, so that the order of its key
        stays that of its partition. Otherwise by key, as Kafka's default partitioner chooses.
        """
        record, timestamp_ms, headers = letter.record, letter.timestamp_ms, letter.event_headers
        if timestamp_ms < NO_TIMESTAMP:
            headers = (*headers, (SOURCE_TIMESTAMP_HEADER, b"%d" % timestamp_ms))
        headers = (*headers, (HOPS_HEADER, str(letter.hops + 1).encode()))
        if self.new_time or timestamp_ms < 0:
            timestamp_ms = self.now_ms
        return OutputRecord(self.target.topic, self._partition(letter), record.key, record.value, headers, timestamp_ms)

    def _partition(self, letter: DeadLetter) -> int:
        failure, key, count = letter.latest, letter.record.key, self.target.partitions
        if failure is not None and failure.topic == self.target.topic and 0 <= failure.partition < count:
            return failure.partition
        if key is None:
            return letter.record.partition.partition % count
        hashed: int = murmur2(key) & 0x7FFFFFFF
        return hashed % count

    def _for_its_time(self, timestamp_ms: int) -> Left | None:
        """Whether the target would refuse the event, or delete it before anybody can be sure to have read it.

        A tenth of the retention is left for reading it.
        """
        if self.new_time or timestamp_ms < 0:
            return None
        target, age_ms = self.target, self.now_ms - timestamp_ms
        if target.retention_ms is not None and age_ms >= target.retention_ms * 9 // 10:
            return Left.TOO_OLD
        too_old = target.oldest_ms is not None and age_ms > target.oldest_ms
        too_far_ahead = target.ahead_ms is not None and -age_ms > target.ahead_ms
        return Left.TIME_REFUSED if too_old or too_far_ahead else None
