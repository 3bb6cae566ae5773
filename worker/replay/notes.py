"""The notes of what was replayed: one record for each transaction and partition, in a topic beside the dead letters.

A note is sent in the transaction that sends the events, so both are there or neither is. The notes are the only memory
of a replay. A group's offset could not be: it knows no holes, which every filter leaves, and Kafka forgets it a week
after the group was last used, while dead letters may be kept for longer.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import orjson

from worker.replay.letters import DeadLetter
from worker.replay.offset_set import OffsetSet

SUFFIX = ".replayed"


def notes_topic(dead_letter_topic: str) -> str:
    """The topic with the notes on the dead letters of `dead_letter_topic`."""
    return dead_letter_topic + SUFFIX


@dataclass(frozen=True, slots=True)
class Witness:
    """What tells a dead letter from one that has its place in a topic that was deleted and created again."""

    offset: int
    source: str
    timestamp_ms: int

    @classmethod
    def of(cls, letter: DeadLetter) -> Witness:
        """The witness for `letter`."""
        source = letter.latest.source if letter.latest else ""
        return cls(letter.record.offset, source, letter.record.timestamp_ms)


@dataclass(frozen=True, slots=True)
class Note:
    """What one transaction has replayed of one partition of the dead-letter topic."""

    partition: int
    ranges: tuple[tuple[int, int], ...]
    """First and last offset of each stretch of which it replayed every letter."""
    target: str
    """The topic that they were sent to."""
    at: str
    """When, as RFC 3339."""
    witness: Witness
    """The last of them."""
    topic_id: str = ""
    """Of the dead-letter topic; empty in a note of the time before there were ids, and on brokers without."""

    def is_of(self, topic_id: str) -> bool:
        """Whether it speaks of the letters in the dead-letter topic with this id, as far as ids tell."""
        return not self.topic_id or not topic_id or self.topic_id == topic_id

    def holds(self, offset: int) -> bool:
        """Whether it speaks of the letter at `offset`."""
        return any(first <= offset <= last for first, last in self.ranges)

    def to_bytes(self) -> bytes:
        """The value of its record: JSON."""
        return orjson.dumps(
            {
                "partition": self.partition,
                "ranges": self.ranges,
                "to": self.target,
                "at": self.at,
                "last": {
                    "offset": self.witness.offset,
                    "source": self.witness.source,
                    "timestamp_ms": self.witness.timestamp_ms,
                },
                **({"topic_id": self.topic_id} if self.topic_id else {}),
            }
        )

    @classmethod
    def from_bytes(cls, value: bytes | None) -> Note:
        """Read it again; raises ValueError when the record is no note."""
        try:
            members = orjson.loads(value or b"")
            last = members["last"]
            ranges = tuple((int(first), int(last)) for first, last in members["ranges"])
            witness = Witness(int(last["offset"]), str(last["source"]), int(last["timestamp_ms"]))
            topic_id = str(members.get("topic_id", ""))
            return cls(int(members["partition"]), ranges, str(members["to"]), str(members["at"]), witness, topic_id)
        except (KeyError, TypeError) as error:
            raise ValueError(f"no such member: {error}") from error


class Replayed:
    """What the notes say of the topic with this id, for one target.

    A letter sent to another topic has not been sent to this one, and a note on a topic that is gone says nothing.
    """

    def __init__(self, target: str, notes: Iterable[Note] = (), topic_id: str = "") -> None:
        self._target = target
        self.topic_id = topic_id
        self._offsets: dict[int, OffsetSet] = {}
        self.witnesses: dict[int, Witness] = {}
        """The newest of each partition, whatever its target; none where its note has the topic's id."""
        for note in notes:
            self.add(note)

    def add(self, note: Note) -> None:
        """Take in one more note, in the order of the topic."""
        if not note.is_of(self.topic_id):
            return
        if note.topic_id and self.topic_id:
            self.witnesses.pop(note.partition, None)  # who wrote this has looked at those before
        else:
            self.witnesses[note.partition] = note.witness
        if note.target == self._target:
            offsets = self._offsets.setdefault(note.partition, OffsetSet())
            for first, last in note.ranges:
                offsets.add(first, last)

    def holds(self, partition: int, offset: int) -> bool:
        """Whether the letter there was replayed."""
        offsets = self._offsets.get(partition)
        return offsets is not None and offset in offsets

    def first_open(self, partition: int, start: int) -> int:
        """The first offset, at `start` or above, that no note speaks of."""
        offsets = self._offsets.get(partition)
        return start if offsets is None else offsets.first_missing(start)


@dataclass(slots=True)
class Ranges:
    """The stretches of one partition that a replay has sent, letter by letter in the order of their offsets.

    A stretch goes over offsets that hold no letter (a transaction's marker, what compaction took), and ends at a
    letter that is left in place.
    """

    _ranges: list[list[int]] = field(default_factory=list)
    _open_from: int | None = None
    """Where the next stretch begins when it follows the last letter; None after a letter that is left."""

    def sent(self, offset: int) -> None:
        """The letter at `offset` is sent."""
        first = offset if self._open_from is None else self._open_from
        if self._ranges and self._ranges[-1][1] + 1 == first:
            self._ranges[-1][1] = offset
        else:
            self._ranges.append([first, offset])
        self._open_from = offset + 1

    def replayed_before(self, offset: int) -> None:
        """The letter at `offset` has been replayed already."""
        self._open_from = offset + 1

    def left(self) -> None:
        """A letter is left in place."""
        self._open_from = None

    def take(self) -> tuple[tuple[int, int], ...]:
        """The stretches since the last time; the next one may still follow on."""
        taken = tuple((first, last) for first, last in self._ranges)
        self._ranges = []
        return taken
