"""Reads topics up to where they ended when the reading began, without a group; never waits for more to come."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from aiokafka import AIOKafkaConsumer
from aiokafka import TopicPartition as Place

from worker.errors import TopicError, UnreachableError
from worker.records import Record, TopicPartition
from worker.replay.letters import DeadLetter, read_letter
from worker.replay.notes import Note, Replayed, Witness

if TYPE_CHECKING:
    from aiokafka import ConsumerRecord

POLL_S = 0.5
MOST_RECORDS = 500
"""Records handed over at once."""


class Span(NamedTuple):
    """What is in a partition: from the first offset kept to the next one to be written, open transactions left out."""

    start: int
    end: int


@dataclass(slots=True)
class TopicReader:
    """Reads one partition after the other through `consumer`, which is started and has no group.

    The consumer reads committed transactions only, and begins at the oldest record where the one it wants is gone. It
    is given all partitions at once and all but one are paused: aiokafka's may hang when it is stopped soon after an
    assignment has changed.
    """

    consumer: AIOKafkaConsumer
    patience_s: float
    """How long nothing may come although there is something to read."""

    def assign(self, partitions: Mapping[str, int]) -> None:
        """Say once which topics will be read, and how many partitions each has."""
        places = [Place(topic, number) for topic, count in partitions.items() for number in range(count)]
        self.consumer.assign(places)
        self.consumer.pause(*places)

    async def spans(self, topic: str, partitions: int) -> list[Span]:
        """What is in each partition now."""
        places = [Place(topic, number) for number in range(partitions)]
        start = await self.consumer.beginning_offsets(places)
        end = await self.consumer.end_offsets(places)
        return [Span(start[place], end[place]) for place in places]

    async def records(self, topic: str, partition: int, span: Span) -> AsyncIterator[list[Record]]:
        """The records of `span`, in order, a few hundred at a time; raises `UnreachableError` when they stay away."""
        place = Place(topic, partition)
        self.consumer.pause(*self.consumer.assignment() - {place})  # also what a reader before has not read to its end
        self.consumer.seek(place, span.start)
        self.consumer.resume(place)
        heard_at, position = time.monotonic(), span.start
        while position < span.end:
            fetched = await self.consumer.getmany(place, timeout_ms=int(POLL_S * 1000), max_records=MOST_RECORDS)
            records = [_record(record) for record in fetched.get(place, ()) if record.offset < span.end]
            if records:
                yield records
            before, position = position, await self.consumer.position(place)
            if records or position != before:
                heard_at = time.monotonic()
            elif time.monotonic() - heard_at > self.patience_s:
                raise UnreachableError(
                    f"{topic}: nothing came of partition {partition} for {self.patience_s:g} s, at offset"
                    f" {position} of {span.end}; check that the broker is up"
                )

    async def letters(self, topic: str, partition: int, span: Span) -> AsyncIterator[list[DeadLetter]]:
        """The same for dead letters, taken apart."""
        async for records in self.records(topic, partition, span):
            yield [read_letter(record) for record in records]

    async def letter(self, topic: str, partition: int, offset: int) -> DeadLetter | None:
        """The letter at `offset`; None where there is none."""
        async for letters in self.letters(topic, partition, Span(offset, offset + 1)):
            return next((letter for letter in letters if letter.record.offset == offset), None)
        return None

    async def notes(self, topic: str) -> AsyncIterator[Note]:
        """The notes on what was replayed; raises `TopicError` at a record that is none."""
        (span,) = await self.spans(topic, 1)
        async for records in self.records(topic, 0, span):
            for record in records:
                try:
                    yield Note.from_bytes(record.value)
                except ValueError as error:
                    raise TopicError(
                        f"{record.source} is no note of a replay ({error}); it has to be removed"
                    ) from error

    async def check_witnesses(self, topic: str, spans: list[Span], replayed: Replayed, notes_topic: str) -> None:
        """Raise `TopicError` when the notes speak of letters that are not those in `topic`."""
        for partition, witness in sorted(replayed.witnesses.items()):
            span = spans[partition] if partition < len(spans) else Span(0, 0)
            if witness.offset < span.start:
                continue  # gone, as are all that were replayed before it
            letter = await self.letter(topic, partition, witness.offset) if witness.offset < span.end else None
            compacted = letter is None and witness.offset < span.end
            if not compacted and (letter is None or Witness.of(letter) != witness):
                raise TopicError(
                    f"{notes_topic} says that {topic}/{partition}/{witness.offset} was replayed, but that is not the"
                    f" letter there now: {topic} was deleted and created again. Delete {notes_topic}"
                )


def _record(record: ConsumerRecord) -> Record:
    return Record(
        TopicPartition(record.topic, record.partition),
        record.offset,
        record.timestamp,
        record.key,
        record.value,
        tuple(record.headers),
        generation=0,
    )
