"""Publishes results and dead letters in input order, exactly once: a lane of transactions for each input partition."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Sequence

from worker.clock import Clock
from worker.delivery.outcomes import Item, Outcomes
from worker.delivery.room import PublishingRoom
from worker.delivery.transaction_lane import TransactionLane
from worker.delivery.transactions import NewTransactions, transactional_id
from worker.errors import FencedError
from worker.metrics import Metrics
from worker.pipeline.protocols import Owner
from worker.records import Entry, TopicPartition
from worker.tasks import owned

logger = logging.getLogger(__name__)

FENCED_AGAIN_S = 300.0
"""A partition that is fenced once more within this time has somebody who goes on taking it."""


class TransactionalCollector:
    """Sends results and dead letters, and commits the offsets with them. For one event loop.

    `take_over` begins an assignment, `retire` ends it.
    """

    def __init__(
        self,
        *,
        group: str,
        new_transactions: NewTransactions,
        outcomes: Outcomes,
        interval_s: float,
        max_waiting: int,
        clock: Clock,
        metrics: Metrics,
        on_fenced: Callable[[TopicPartition], None],
        on_failure: Callable[[BaseException], None],
    ) -> None:
        self._group = group
        self._new_transactions = new_transactions
        self._outcomes = outcomes
        self._interval_s = interval_s
        self._max_waiting = max_waiting
        self._clock = clock
        self._metrics = metrics
        self._on_fenced = on_fenced
        self._on_failure = on_failure
        self._room = PublishingRoom()
        self._lanes: dict[TopicPartition, TransactionLane] = {}
        self._closing: set[asyncio.Task[None]] = set()
        self._fenced_at: dict[TopicPartition, float] = {}

    async def take_over(self, partitions: Collection[TopicPartition]) -> None:
        """Be the only one to publish what comes of `partitions`. The committed offsets are to be read after this.

        Takes as long as the broker needs; raises DeliveryError.
        """
        self.retire()
        self._lanes = {
            partition: TransactionLane(
                partition,
                self._new_transactions(partition),
                self._outcomes,
                self,
                self._room,
                interval_s=self._interval_s,
                clock=self._clock,
                metrics=self._metrics,
            )
            for partition in partitions
        }
        await asyncio.gather(*(lane.open() for lane in self._lanes.values()))

    def send(self, entries: Sequence[Entry], owner: Owner) -> None:
        """Publish the outcomes of entries of one partition, in this order; raises FuseError.

        When the fuse blows, the entries before the last straw are still published.
        """
        items: list[Item] = []
        try:
            for item in self._outcomes.write(entries, owner):
                items.append(item)  # noqa: PERF402 - what was written before the fuse blows counts
        finally:
            lane = self._lanes.get(entries[0].record.partition)
            if lane is not None and items:
                lane.extend(items)

    async def flush(self) -> None:
        """Wait until everything sent before is committed or dropped."""
        await asyncio.gather(*(lane.flush() for lane in self._lanes.values()))

    def retire(self) -> None:
        """The assignment is over: end its lanes, in the background. What they have not committed they never will."""
        lanes, self._lanes = self._lanes, {}
        for lane in lanes.values():
            closing = owned(lane.close(), "close a lane", self._on_failure, ends=True)
            self._closing.add(closing)
            closing.add_done_callback(self._closing.discard)

    async def stop(self) -> None:
        """End all lanes and disconnect."""
        self.retire()
        await asyncio.gather(*self._closing, return_exceptions=True)

    # --- called by the lanes ----------------------------------------------------------------------------------------

    def enough(self, waiting: int) -> bool:
        """See `worker.delivery.transaction_lane.LaneEvents`.

        Beyond half of what may be in flight, all lanes together, intake would soon wait for a commit.
        """
        busy = sum(lane.waiting > 0 for lane in self._lanes.values())
        return waiting * max(1, busy) >= self._max_waiting

    def fenced(self, partition: TopicPartition, error: FencedError) -> None:
        """See `worker.delivery.transaction_lane.LaneEvents`."""
        now = self._clock.monotonic()
        again = now - self._fenced_at.get(partition, float("-inf")) < FENCED_AGAIN_S
        self._fenced_at[partition] = now
        identity = transactional_id(self._group, partition)
        other = f" (or another group, whose name and topic give the same transactional id {identity})" if again else ""
        logger.warning("%s%s; giving %s up, nothing is lost", error, other, partition.place)
        self._on_fenced(partition)

    def fail(self, error: BaseException) -> None:
        """See `worker.delivery.transaction_lane.LaneEvents`."""
        self._on_failure(error)
