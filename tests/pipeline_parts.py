"""Parts for the tests of the pipeline that stand in for rooms behind it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from worker.delivery.owner import Owner
from worker.observability.metrics import Metrics
from worker.pipeline.flow_control import FlowControl
from worker.pipeline.offsets import OffsetTracker
from worker.pipeline.stream_task import StreamTask
from worker.records import Chunk, Encoding, Entry, Record, TopicPartition

PARTITION = TopicPartition("reviews.in", 0)


class HeldCollector:
    """Keeps what it is sent, in order, until a test acknowledges it."""

    def __init__(self) -> None:
        self.sent: list[tuple[Owner, TopicPartition, list[Entry]]] = []
        self.error: Exception | None = None
        """What `send` raises from now on."""

    def send(self, entries: Sequence[Entry], owner: Owner) -> None:
        if self.error is not None:
            raise self.error
        self.sent.append((owner, entries[0].record.partition, list(entries)))

    async def flush(self) -> None:
        """Nothing is on its way."""

    def offsets(self) -> list[int]:
        """Of everything sent, in the order of sending."""
        return [entry.record.offset for _, _, entries in self.sent for entry in entries]

    def acknowledge_all(self) -> None:
        """The broker has it all."""
        for owner, partition, entries in self.sent:
            owner.acknowledged(partition, entries)
        self.sent.clear()


def make_task(
    collector: HeldCollector, start: int | None = 0, *, generation: int = 1, metrics: Metrics | None = None
) -> StreamTask:
    """A task of one partition that starts at `start`."""
    metrics = metrics or Metrics()
    tracker = OffsetTracker()
    tracker.assign([PARTITION], generation)
    flow = FlowControl(1_000, 1_000_000, metrics)
    return StreamTask(generation, {PARTITION: start}, tracker, collector, flow, metrics)


def make_chunk(
    offsets: Sequence[int],
    follows: int | None = None,
    *,
    generation: int = 1,
    partition: TopicPartition = PARTITION,
    value: bytes | None = b"{}",
) -> Chunk:
    """A chunk of records with these offsets."""
    records = [Record(partition, offset, 0, None, value, (), generation) for offset in offsets]
    return Chunk(partition, generation, follows, records)


def make_entries(records: Sequence[Record], encoding: Encoding | None = None) -> list[Entry]:
    """Entries that wait for their outcomes."""
    return [Entry(record, encoding, has_result=False, arrived_at=0.0, waiting_since=0.0) for record in records]


async def until(condition: Callable[[], bool]) -> None:
    """Let the event loop run until `condition` is true; for what nobody announces."""
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.001)
