"""What a fetch returned, in chunks: Faust pays about 80 microseconds for each item, whatever is in it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from faust.types import TP

from worker.records import Chunk, Record, TopicPartition

MAX_CHUNK_RECORDS = 256


class Fetched(NamedTuple):
    """What one fetch returned for one partition."""

    generation: int
    follows: int | None
    records: list[Any]
    reading: int = 0
    """How often the consumer's thread had sought back before."""


class ChunkScheduler:
    """Faust's ``ConsumerScheduler``: yields chunks, one partition after the other in turns."""

    max_records = MAX_CHUNK_RECORDS

    def iterate(self, fetched: Mapping[TP, Fetched]) -> Iterator[tuple[TP, Fetched]]:
        """Cut each partition's records into chunks; partitions take turns."""
        turns = [(tp, self._chunks(of_partition)) for tp, of_partition in fetched.items()]
        while turns:
            still_going = []
            for tp, chunks in turns:
                chunk = next(chunks, None)
                if chunk is not None:
                    yield tp, chunk
                    still_going.append((tp, chunks))
            turns = still_going

    def _chunks(self, fetched: Fetched) -> Iterator[Fetched]:
        # In bytes they are bounded already: see `worker.consumers.bounded_fetcher`.
        records, follows = fetched.records, fetched.follows
        for start in range(0, len(records), self.max_records):
            chunk = records[start : start + self.max_records]
            yield fetched._replace(follows=follows, records=chunk)
            follows = chunk[-1].offset + 1


def to_chunk(tp: TP, fetched: Fetched) -> Chunk:
    """The chunk of aiokafka's records."""
    partition = TopicPartition(tp.topic, tp.partition)
    generation = fetched.generation
    records = [
        Record(
            partition,
            record.offset,
            record.timestamp if record.timestamp is not None else -1,
            record.key,
            record.value,
            tuple(record.headers),
            generation,
        )
        for record in fetched.records
    ]
    return Chunk(partition, generation, fetched.follows, records)
