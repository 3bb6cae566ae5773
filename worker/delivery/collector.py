"""Publishes results and dead letters in input order, at least once, and says what is acknowledged.

Each output partition has a lane (`worker.delivery.lane`); what one input partition yields goes into its lane in input
order, and lanes do not wait for each other.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Protocol

from worker.clock import Clock
from worker.delivery.lane import Lane
from worker.delivery.outcomes import Item, Outcomes
from worker.delivery.patience import persistently
from worker.delivery.room import PublishingRoom
from worker.delivery.transactions import NewTransactions
from worker.errors import Reason
from worker.metrics import Metrics
from worker.pipeline.protocols import Owner
from worker.records import Entry, OutputRecord, TopicPartition

BATCH_BYTES = 1024 * 1024
"""What one batch takes in memory (`worker.records.bytes_in_memory`), unless a record alone is larger."""


class Publisher(Protocol):
    """The way to the broker."""

    async def publish(
        self, topic: str, partition: int, records: Sequence[OutputRecord], abandoned: Callable[[], bool]
    ) -> int:
        """Publish as many of the first `records` as one batch takes, at least one, and wait for all in-sync replicas.

        Answers how many were acknowledged. Retries what may pass for as long as it takes, or until `abandoned`, and
        answers 0 then. Raises RecordRefusedError when the broker does not take one of the records, DeliveryError when
        trying again will not help.
        """


class RecordCollector:
    """Sends results and dead letters. For one event loop."""

    def __init__(
        self,
        *,
        publisher: Publisher,
        new_transactions: NewTransactions,
        outcomes: Outcomes,
        clock: Clock,
        metrics: Metrics,
        on_failure: Callable[[BaseException], None],
    ) -> None:
        self._publisher = publisher
        self._new_transactions = new_transactions
        self._outcomes = outcomes
        self._clock = clock
        self._metrics = metrics
        self._on_failure = on_failure
        self._lanes: dict[tuple[str, int], Lane] = {}
        self._room = PublishingRoom()

    async def take_over(self, partitions: Collection[TopicPartition]) -> None:
        """Fence whoever published exactly once what comes of `partitions`: a transaction of theirs may be open.

        Takes as long as the broker needs; raises DeliveryError.
        """
        await asyncio.gather(*map(self._fence, partitions))

    def send(self, entries: Sequence[Entry], owner: Owner) -> None:
        """Publish the outcomes of entries of one partition, in this order; raises FuseError.

        When the fuse blows, the entries before the last straw are still published.
        """
        lanes: dict[tuple[str, int], list[Item]] = defaultdict(list)
        try:
            for item in self._outcomes.write(entries, owner):
                lanes[item[0].topic, item[0].partition].append(item)
        finally:
            for (topic, partition), items in lanes.items():
                self._lane(topic, partition).extend(items)

    async def flush(self) -> None:
        """Wait until everything sent before is acknowledged or dropped."""
        for lane in list(self._lanes.values()):
            await lane.flush()

    def retire(self) -> None:
        """The assignment is over. Lanes belong to output partitions and stay: they drop what belongs to it."""

    async def stop(self) -> None:
        """Stop all lanes; what is not acknowledged by now stays unacknowledged."""
        routines = [lane.routine for lane in self._lanes.values()]
        for routine in routines:
            routine.cancel()
        await asyncio.gather(*routines, return_exceptions=True)

    # --- called by the lanes ----------------------------------------------------------------------------------------

    async def publish(self, topic: str, partition: int, items: Sequence[Item]) -> int:
        """See `worker.delivery.lane.LaneEvents`."""
        owner = items[0][2]
        sizes = [item[1].record.size_bytes for item in items]
        async with self._room.taken(max(sizes[0], min(sum(sizes), BATCH_BYTES))):
            if owner.closed:
                return 0
            started_at = self._clock.monotonic()
            count = await self._publisher.publish(topic, partition, [item[0] for item in items], lambda: owner.closed)
        if not count:
            return 0
        self._metrics.publish_seconds.observe(self._clock.monotonic() - started_at)
        self._outcomes.acknowledged(items[:count])
        return count

    def known_refusals(self, items: Sequence[Item]) -> Mapping[int, Reason]:
        """See `worker.delivery.lane.LaneEvents`."""
        return self._outcomes.known_refusals(items)

    def refuse(self, items: Sequence[Item], refused: Mapping[int, Reason]) -> Sequence[Item]:
        """See `worker.delivery.lane.LaneEvents`. Raises FuseError; for a dead letter that is refused, DeliveryError."""
        here = items[0][0].topic, items[0][0].partition
        stay: list[Item] = []
        letters: dict[tuple[str, int], list[Item]] = defaultdict(list)
        try:
            for letter in self._outcomes.refused_among(items, refused):
                place = letter[0].topic, letter[0].partition
                (stay if place == here else letters[place]).append(letter)
        finally:
            for place, each in letters.items():
                self._lane(*place).extend(each)
        return stay

    def fail(self, error: BaseException) -> None:
        """See `worker.delivery.lane.LaneEvents`."""
        self._on_failure(error)

    # --- inside -----------------------------------------------------------------------------------------------------

    def _lane(self, topic: str, partition: int) -> Lane:
        lane = self._lanes.get((topic, partition))
        if lane is None:
            lane = self._lanes[topic, partition] = Lane(topic, partition, self, self._clock)
        return lane

    async def _fence(self, partition: TopicPartition) -> None:
        transactions = self._new_transactions(partition)
        retries = self._metrics.retries.labels("publish")
        try:
            await persistently(f"taking over {partition.place}", transactions.open, on_failure=retries.inc)
        finally:
            await transactions.close()
