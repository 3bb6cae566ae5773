"""Which offsets may be committed: submitted, then completed in any order, then committable.

Kafka stores one number for a partition: the *next* offset to read. It may be stored only when every record delivered
below it is completed, that is, has its output or its dead letter acknowledged. Records complete out of order; offsets
have gaps (compaction, transaction markers), so only offsets that were delivered count, never a range.

Every assignment of partitions has a generation. What was submitted under an old one may be delivered again, to us or
to another member, so completions of an old generation are dropped, silently: they are normal after a rebalance.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from operator import lt

from worker.records import TopicPartition

NOTHING = -1


class _PartitionOffsets:
    """The offsets of one partition under one generation."""

    __slots__ = ("committable", "committed", "delivered", "incomplete", "last_submitted")

    def __init__(self) -> None:
        self.delivered: deque[int] = deque()  # ascending; the first one is incomplete
        self.incomplete: set[int] = set()
        self.last_submitted = NOTHING
        self.committable = NOTHING
        self.committed = NOTHING

    def submit(self, offsets: Sequence[int]) -> None:
        if not offsets:
            return
        if offsets[0] <= self.last_submitted or not all(map(lt, offsets, offsets[1:])):
            raise ValueError(
                f"This is a bug: offsets submitted twice or out of order ({offsets[0]} after {self.last_submitted})"
            )
        self.delivered.extend(offsets)
        self.incomplete.update(offsets)
        self.last_submitted = offsets[-1]

    def complete(self, offsets: Iterable[int]) -> None:
        completed = list(offsets)
        distinct = set(completed)
        if len(distinct) < len(completed) or not distinct <= self.incomplete:
            strays = sorted(distinct - self.incomplete) or "one of them twice"
            raise ValueError(f"This is a bug: completed without being in flight: {strays}")
        self.incomplete -= distinct
        delivered, incomplete = self.delivered, self.incomplete
        last = NOTHING
        while delivered and delivered[0] not in incomplete:
            last = delivered.popleft()
        if last != NOTHING:
            self.committable = last + 1


class OffsetTracker:
    """Offsets of the assigned partitions. Not thread-safe; pure, it talks to no broker."""

    def __init__(self) -> None:
        self.generation = NOTHING
        self._partitions: dict[TopicPartition, _PartitionOffsets] = {}
        self._revoked: set[TopicPartition] = set()

    def assign(self, partitions: Iterable[TopicPartition], generation: int) -> None:
        """Start `generation` with these partitions and forget everything before it.

        Raises ValueError when the generation does not grow.
        """
        if generation <= self.generation:
            raise ValueError(f"This is a bug: generation {generation} follows {self.generation}")
        self.generation = generation
        self._partitions = {partition: _PartitionOffsets() for partition in partitions}
        self._revoked = set()

    def revoke(self, partitions: Iterable[TopicPartition]) -> None:
        """Forget these partitions; what still completes for them is dropped. Commit before this, not after."""
        for partition in partitions:
            if self._partitions.pop(partition, None) is not None:
                self._revoked.add(partition)

    def submit(self, partition: TopicPartition, offsets: Sequence[int], generation: int) -> bool:
        """Note that these offsets, ascending, are in the pipeline now; False when they are stale and were dropped.

        Raises ValueError for offsets that do not ascend or were submitted before, and for a partition or a generation
        that was never assigned.
        """
        state = self._current(partition, generation)
        if state is None:
            return False
        state.submit(offsets)
        return True

    def complete(self, partition: TopicPartition, offsets: Iterable[int], generation: int) -> bool:
        """Note that the outputs of these offsets, in any order, are acknowledged; False when they are stale.

        Raises ValueError, and changes nothing, when one of them is not in flight: it would be committed unread.
        """
        state = self._current(partition, generation)
        if state is None:
            return False
        state.complete(offsets)
        return True

    def committable_offsets(self) -> dict[TopicPartition, int]:
        """The next offset of every partition that may be committed further than it is."""
        return {
            partition: state.committable
            for partition, state in self._partitions.items()
            if state.committable > state.committed
        }

    def mark_committed(self, offsets: Mapping[TopicPartition, int], generation: int) -> bool:
        """Note what the group has stored; never lowers what is known. False when the generation is stale.

        Raises ValueError for an offset beyond the committable one.
        """
        if generation < self.generation:
            return False
        for partition, next_offset in offsets.items():
            state = self._current(partition, generation)
            if state is None:
                continue
            if next_offset > state.committable:
                raise ValueError(
                    f"This is a bug: {partition} was committed at {next_offset}, committable was {state.committable}"
                )
            state.committed = max(state.committed, next_offset)
        return True

    def in_flight(self, partition: TopicPartition | None = None) -> int:
        """Offsets submitted and not completed, of one partition or of all."""
        if partition is None:
            return sum(len(state.incomplete) for state in self._partitions.values())
        state = self._partitions.get(partition)
        return len(state.incomplete) if state else 0

    def _current(self, partition: TopicPartition, generation: int) -> _PartitionOffsets | None:
        """The state to change; None when the assignment is over."""
        if generation < self.generation:
            return None
        if generation > self.generation:
            raise ValueError(f"This is a bug: generation {generation} is not assigned yet (now {self.generation})")
        state = self._partitions.get(partition)
        if state is None and partition not in self._revoked:
            raise ValueError(f"This is a bug: {partition} is not assigned in generation {generation}")
        return state
