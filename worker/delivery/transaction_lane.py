"""What one input partition yields, in transactions one after the other."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from typing import Protocol, TypeVar

from worker.clock import Clock
from worker.delivery.lane import LATE_S, MAX_GROUP_BYTES, MAX_GROUP_RECORDS, stale, within
from worker.delivery.outcomes import Item, Outcomes
from worker.delivery.patience import FIRST_PAUSE_S, LONGEST_PAUSE_S, mentioned, persistently
from worker.delivery.room import PublishingRoom
from worker.delivery.transactions import BatchRefusedError, Transactions
from worker.errors import FencedError, TransactionError
from worker.metrics import Metrics
from worker.pipeline.protocols import Owner
from worker.records import TopicPartition
from worker.tasks import owned

logger = logging.getLogger(__name__)

T = TypeVar("T")
LATE_INTERVALS = 5
"""A transaction costs broker and worker some milliseconds of processor time, whatever is in it. Where the oldest event
is `LATE_S` old already, as all are under a backlog, so many intervals pass before the next one."""


class LaneEvents(Protocol):
    """What a lane asks of its collector."""

    def enough(self, waiting: int) -> bool:
        """Whether `waiting` records are so many that they should not wait for the interval."""

    def fenced(self, partition: TopicPartition, error: FencedError) -> None:
        """Another member publishes what comes of the partition; the lane has ended."""

    def fail(self, error: BaseException) -> None:
        """The lane has ended with this error."""


class TransactionLane:
    """One transaction at a time, and one at most in an interval; the next one gathers meanwhile.

    A lane lives from assignment to revocation. What it could not commit when it ends is read again by whoever owns the
    partition next, and opening the partition there makes sure that none of it is published twice.
    """

    def __init__(
        self,
        partition: TopicPartition,
        transactions: Transactions,
        outcomes: Outcomes,
        events: LaneEvents,
        room: PublishingRoom,
        *,
        interval_s: float,
        clock: Clock,
        metrics: Metrics,
    ) -> None:
        self._partition = partition
        self._place = partition.place
        self._transactions = transactions
        self._outcomes = outcomes
        self._events = events
        self._room = room
        self._interval_s = interval_s
        self._clock = clock
        self._metrics = metrics
        self._items: deque[Item] = deque()
        self._arrived = asyncio.Event()
        self._hurried = asyncio.Event()
        self._progressed = asyncio.Event()
        self._flushing = 0
        self._flush_begun = asyncio.Event()
        self._pause_s = FIRST_PAUSE_S
        self._began_at = float("-inf")
        self._batch_records = MAX_GROUP_RECORDS
        self._routine: asyncio.Task[None] | None = None

    # --- called by the collector ------------------------------------------------------------------------------------

    async def open(self) -> None:
        """Take the partition over, for as long as it takes; raises DeliveryError. Then items may come."""
        await self._persistently("taking over", self._transactions.open)
        self._routine = owned(self._run(), f"transactions of {self._place}", self._events.fail, ends=True)

    def extend(self, items: Iterable[Item]) -> None:
        """Queue items, in their order."""
        self._items.extend(items)
        self._arrived.set()
        if self._events.enough(len(self._items)):
            self._hurried.set()

    @property
    def waiting(self) -> int:
        """Records not committed yet."""
        return len(self._items)

    async def flush(self) -> None:
        """Wait until everything queued before is committed or dropped, without waiting for the interval."""
        routine = self._routine
        self._flushing += 1
        self._flush_begun.set()
        self._hurried.set()
        try:
            while self._items and routine is not None and not routine.done():
                self._progressed.clear()
                await self._progressed.wait()
        finally:
            self._flushing -= 1

    async def close(self) -> None:
        """End, with whatever is not committed. Never raises."""
        if self._routine is not None:
            self._routine.cancel()
            await asyncio.gather(self._routine, return_exceptions=True)
        await self._transactions.close()

    # --- the routine ------------------------------------------------------------------------------------------------

    async def _run(self) -> None:
        try:
            while True:
                await self._arrived.wait()
                while self._items:
                    if self._drop(stale(self._items)):
                        continue
                    await self._gather()
                    await self._transact()
                self._arrived.clear()
        except FencedError as error:
            self._metrics.transactions.labels("fenced").inc()
            self._items.clear()
            self._events.fenced(self._partition, error)
        finally:
            self._progressed.set()

    async def _gather(self) -> None:
        """Let a transaction grow until an interval has passed since the last began."""
        now = self._clock.monotonic()
        late = now - self._items[0][1].waiting_since > LATE_S
        left_s = self._began_at + self._interval_s * (LATE_INTERVALS if late else 1) - now
        if left_s > 0 and not self._flushing and not self._events.enough(len(self._items)):
            self._hurried.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(left_s):
                    await self._hurried.wait()
        self._began_at = self._clock.monotonic()

    async def _transact(self) -> None:
        """One transaction with what waits; what it does not commit goes on waiting."""
        if self._drop(stale(self._items)):
            return
        owner = self._items[0][2]
        if self._outcomes.known_refusals(self._items):
            self._items = deque(self._outcomes.refused_alike(self._items))
        items = within(self._items, MAX_GROUP_RECORDS, MAX_GROUP_BYTES)
        next_offset = items[-1][1].record.offset + 1
        records = [item[0] for item in items]
        try:
            async with (
                self._room.taken(sum(item[1].record.size_bytes for item in items)),
                mentioned(f"a transaction of {self._place}"),
            ):
                await self._transactions.commit(records, next_offset, self._batch_records)
        except BatchRefusedError as error:
            await self._begin_again(owner, next_offset)
            if not owner.closed:
                self._narrow(error)
        except TransactionError as error:
            level = logging.WARNING if self._pause_s == FIRST_PAUSE_S else logging.DEBUG
            logger.log(level, "a transaction of %s failed (%s); looking whether it was committed", self._place, error)
            if await self._begin_again(owner, next_offset):
                self._done(items, owner, next_offset)
            elif not owner.closed:
                await self._pause()
        else:
            self._done(items, owner, next_offset)

    def _done(self, items: list[Item], owner: Owner, next_offset: int) -> None:
        self._metrics.transactions.labels("committed").inc()
        self._metrics.publish_seconds.observe(self._clock.monotonic() - self._began_at)
        self._batch_records = MAX_GROUP_RECORDS
        if self._pause_s > FIRST_PAUSE_S:
            logger.info("what comes of %s is committed again", self._place)
            self._pause_s = FIRST_PAUSE_S
        self._outcomes.acknowledged(items)
        if not owner.closed:
            owner.post_commit({self._partition: next_offset})
        self._drop(len(items))

    async def _begin_again(self, owner: Owner, next_offset: int) -> bool:
        """Open once more after a failed transaction, and answer whether it was committed all the same.

        Opening has ended it either way, so the committed offset tells. Where it is neither what it was before nor what
        the transaction would have made it, somebody else has gone on meanwhile: FencedError.
        """
        self._metrics.transactions.labels("failed").inc()
        await self._persistently("taking over again", self._transactions.open, lambda: owner.closed)
        committed = await self._persistently(
            "reading the committed offset of", self._transactions.committed, lambda: owner.closed
        )
        if owner.closed or committed == owner.committed(self._partition):
            return False
        if committed == next_offset:
            return True
        raise FencedError(
            f"the group has {self._place} at {committed}, this worker had left it at {owner.committed(self._partition)}"
        )

    async def _pause(self) -> None:
        """Let pass what made a transaction fail: for longer each time, but briefly while somebody waits for the end."""
        pause_s = FIRST_PAUSE_S if self._flushing else self._pause_s
        self._pause_s = min(2 * self._pause_s, LONGEST_PAUSE_S)
        self._flush_begun.clear()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(pause_s):
                await self._flush_begun.wait()

    def _narrow(self, error: BatchRefusedError) -> None:
        """Halve the batches until the record that the broker does not take is alone, and make a dead letter of it.

        Whatever else is known from it to be refused becomes one too: each try costs a transaction.
        """
        if len(error.records) > 1:
            self._batch_records = len(error.records) // 2
            return
        (refused,) = error.records
        index = next(index for index, item in enumerate(self._items) if item[0] is refused)
        self._items[index] = self._outcomes.refused(self._items[index], error.reason)
        self._items = deque(self._outcomes.refused_alike(self._items))

    def _drop(self, count: int) -> int:
        for _ in range(count):
            self._items.popleft()
        self._progressed.set()
        return count

    # --- inside -----------------------------------------------------------------------------------------------------

    async def _persistently(
        self, what: str, attempt: Callable[[], Awaitable[T]], abandoned: Callable[[], bool] = lambda: False
    ) -> T | None:
        retries = self._metrics.retries.labels("publish")
        return await persistently(f"{what} {self._place}", attempt, on_failure=retries.inc, abandoned=abandoned)
