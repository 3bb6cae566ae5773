"""One assignment generation across its partitions, from submitted to committable."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence

from worker.observability.metrics import Metrics
from worker.pipeline.flow_control import FlowControl
from worker.pipeline.protocols import Collector, Offsets
from worker.records import Chunk, Entry, Record, TopicPartition


class StreamTask:
    """Keeps the order of each partition and its offsets while entries complete in any order.

    A task lives from assignment to revocation. Closing it is final: what completes afterwards is dropped, and another
    member (or our own next task) reads it again from the committed offset.
    """

    def __init__(
        self,
        generation: int,
        start_offsets: Mapping[TopicPartition, int | None],
        offsets: Offsets,
        collector: Collector,
        flow: FlowControl,
        metrics: Metrics,
    ) -> None:
        self.generation = generation
        self.partitions = tuple(start_offsets)
        self.closed = False
        self._halted = False
        self._offsets = offsets
        self._collector = collector
        self._flow = flow
        self._metrics = metrics
        self._in_flight = dict.fromkeys(start_offsets, 0)
        self._in_flight_bytes = dict.fromkeys(start_offsets, 0)
        self._unreleased: dict[TopicPartition, deque[Entry]] = {partition: deque() for partition in start_offsets}
        self._stored = dict(start_offsets)
        self._positions = dict(start_offsets)
        """Next offset to submit; None until the first record where the group has committed nothing."""

    @property
    def in_flight(self) -> int:
        """Records submitted and not completed."""
        return sum(self._in_flight.values())

    def position(self, partition: TopicPartition) -> int | None:
        """Next offset to submit; None before the first record where the group has committed nothing."""
        return self._positions.get(partition)

    def committed(self, partition: TopicPartition) -> int:
        """Next offset as the group has it stored, as far as this task knows; 0 where it has stored none."""
        return self._stored.get(partition) or 0

    def submit(self, chunk: Chunk) -> list[Record]:
        """The records of `chunk` that are new to this task, counted as in flight from now on.

        Records below the committed offset, or read before, are dropped: the source may seek back. Raises RuntimeError
        when records are missing before this chunk: they would be committed unread.
        """
        position = self._positions[chunk.partition]
        if chunk.partition not in self._unreleased:
            return []  # given up
        if chunk.follows is not None and (position is None or chunk.follows > position):
            raise RuntimeError(
                f"This is a bug: records of {chunk.partition} are missing between {position} and {chunk.follows}"
            )
        records = chunk.records
        if position is not None and records[0].offset < position:
            records = [record for record in records if record.offset >= position]
        if not records:
            return records
        self._positions[chunk.partition] = records[-1].offset + 1
        self._offsets.submit(chunk.partition, [record.offset for record in records], self.generation)
        size_bytes = sum(record.size_bytes for record in records)
        self._in_flight[chunk.partition] += len(records)
        self._in_flight_bytes[chunk.partition] += size_bytes
        self._flow.add(len(records), size_bytes)
        return records

    def prepared(self, partition: TopicPartition, entries: Sequence[Entry]) -> None:
        """Take the place of each entry in the order of its partition; those with an outcome may be released."""
        waiting = self._unreleased.get(partition)
        if waiting is not None:
            waiting.extend(entries)
            self._release(partition)

    def completed(self) -> None:
        """Some entries have got their outcomes: release what is next in order of each partition."""
        if self.closed:
            return  # counted as dropped when the task was closed
        for partition, waiting in self._unreleased.items():
            if waiting and waiting[0].outcome is not None:
                self._release(partition)

    def acknowledged(self, partition: TopicPartition, entries: Sequence[Entry]) -> None:
        """The broker has the outputs of these entries."""
        if self.closed or partition not in self._unreleased:
            return
        self._offsets.complete(partition, [entry.record.offset for entry in entries], self.generation)
        size_bytes = sum(entry.record.size_bytes for entry in entries)
        self._in_flight[partition] -= len(entries)
        self._in_flight_bytes[partition] -= size_bytes
        self._flow.remove(len(entries), size_bytes)

    def halt(self) -> None:
        """Release nothing more: what would be published after the last commit would only be published again.

        What was released before may still be acknowledged.
        """
        self._halted = True

    def prepare_commit(self) -> dict[TopicPartition, int]:
        """The next offsets that may be stored now."""
        return {} if self.closed else self._offsets.committable_offsets()

    def post_commit(self, offsets: Mapping[TopicPartition, int]) -> None:
        """`offsets` are stored."""
        self._offsets.mark_committed(offsets, self.generation)
        self._stored.update(offsets)

    def close(self) -> None:
        """Give everything up that is still in flight. May be called again."""
        if self.closed:
            return
        self.closed = True
        for partition in list(self._unreleased):
            self._forget(partition)

    def give_up(self, partition: TopicPartition) -> None:
        """Somebody else has taken this partition over: drop what is in flight of it, and go on with the others."""
        if partition in self._unreleased:
            self._offsets.revoke((partition,))
            self._forget(partition)

    def _forget(self, partition: TopicPartition) -> None:
        del self._unreleased[partition]
        reviews, size_bytes = self._in_flight.pop(partition), self._in_flight_bytes.pop(partition)
        self._metrics.dropped_stale.inc(reviews)
        self._flow.remove(reviews, size_bytes)

    def _release(self, partition: TopicPartition) -> None:
        if self._halted:
            return
        waiting = self._unreleased[partition]
        ready = []
        while waiting and waiting[0].outcome is not None:
            ready.append(waiting.popleft())
        if ready:
            self._halted = True  # what follows must not overtake what could not be sent
            self._collector.send(ready, self)
            self._halted = False
