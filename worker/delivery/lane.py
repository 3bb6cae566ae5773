"""The queue of one output partition, and the routine that empties it in order."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from itertools import takewhile
from typing import Protocol

from worker.clock import Clock
from worker.delivery.outcomes import Item
from worker.errors import Reason, RecordRefusedError
from worker.tasks import owned

logger = logging.getLogger(__name__)

MAX_GROUP_RECORDS = 4096
MAX_GROUP_BYTES = 2 * 1024 * 1024
"""In memory (`worker.records.bytes_in_memory`), to which the one that goes beyond it still belongs."""
FULL_GROUP_RECORDS = 512
GROUP_INTERVAL_S = 0.02
LATE_GROUP_INTERVAL_S = 0.05
LATE_S = 1.0
"""A group has a cost of its own, whatever is in it: a batch, its share of a request, its acknowledgement. So a lane
under load sends one at each multiple of the interval on the clock, all lanes together; the longer interval where the
oldest event is `LATE_S` old already, as all are under a backlog. A lane that was idle sends at once."""


def within(items: Iterable[Item], most_records: int, most_bytes: int) -> list[Item]:
    """The first of `items`: so many at most, and none beyond the one that reaches so many bytes."""
    group: list[Item] = []
    size_bytes = 0
    for item in items:
        group.append(item)
        size_bytes += item[1].record.size_bytes
        if size_bytes >= most_bytes or len(group) == most_records:
            break
    return group


class LaneEvents(Protocol):
    """What a lane asks of its collector."""

    async def publish(self, topic: str, partition: int, items: Sequence[Item]) -> int:
        """Publish a group; answers how many of its first items are acknowledged, 0 when their owner was closed."""

    def known_refusals(self, items: Sequence[Item]) -> Mapping[int, Reason]:
        """Which of `items`, by index, need not be sent to be refused."""

    def refuse(self, items: Sequence[Item], refused: Mapping[int, Reason]) -> Sequence[Item]:
        """The broker does not take those of `items` that are `refused`, by index, and has the others.

        Hands the dead letters on, and answers those that belong into the same lane.
        """

    def fail(self, error: BaseException) -> None:
        """The lane has ended with this error."""


class Lane:
    """At most one group is under way, so a retry can never overtake; the next one gathers meanwhile."""

    def __init__(
        self,
        topic: str,
        partition: int,
        events: LaneEvents,
        clock: Clock,
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._topic = topic
        self._partition = partition
        self._events = events
        self._clock = clock
        self._pause = pause
        self._items: deque[Item] = deque()
        self._arrived = asyncio.Event()
        self._progressed = asyncio.Event()
        self._appended = 0
        self._done = 0
        self._sent_at = float("-inf")
        self.routine = owned(self._run(), f"publish {topic}/{partition}", events.fail)

    def extend(self, items: Iterable[Item]) -> None:
        """Queue items, in their order."""
        before = len(self._items)
        self._items.extend(items)
        self._appended += len(self._items) - before
        self._arrived.set()

    async def flush(self) -> None:
        """Wait until everything queued before is acknowledged or dropped."""
        until = self._appended
        while self._done < until and not self.routine.done():
            self._progressed.clear()
            await self._progressed.wait()

    async def _run(self) -> None:
        try:
            while True:
                await self._arrived.wait()
                while self._items:
                    if self._drop(stale(self._items)):
                        continue
                    await self._gather()
                    await self._publish_next(MAX_GROUP_RECORDS)
                self._arrived.clear()
        finally:
            self._progressed.set()

    async def _gather(self) -> None:
        """Let a group grow until the next tick, when one was sent since the last."""
        now = self._clock.monotonic()
        late = now - self._items[0][1].waiting_since > LATE_S
        interval = LATE_GROUP_INTERVAL_S if late else GROUP_INTERVAL_S
        since_tick = now % interval
        if self._sent_at > now - since_tick and len(self._items) < FULL_GROUP_RECORDS:
            await self._pause(interval - since_tick)
        self._sent_at = self._clock.monotonic()

    async def _publish_next(self, group_limit: int) -> None:
        """Publish one group. One that is refused is halved until the record that the broker does not take is alone."""
        if self._drop(stale(self._items)):  # since they were gathered, or another part of the group was tried
            return
        group = within(self._items, group_limit, MAX_GROUP_BYTES)
        # Dead letters of what is known to be refused go where those of what is found out go: to keep the order.
        refused = dict(self._events.known_refusals(group))
        wanted = [index for index in range(len(group)) if index not in refused]
        end = len(group)
        if wanted:
            try:
                items = [group[index] for index in wanted] if refused else group
                count = await self._events.publish(self._topic, self._partition, items)
            except RecordRefusedError as error:
                if len(wanted) > 1:
                    await self._publish_next(wanted[len(wanted) // 2])
                    return
                refused[wanted[0]] = error.reason
            else:
                if count < len(wanted):
                    end = wanted[count] if count else 0
        if refused and end:
            letters = self._events.refuse(group[:end], refused)
            self._drop(end)
            self._done -= len(letters)
            self._items.extendleft(reversed(letters))
        else:
            self._drop(end)

    def _drop(self, count: int) -> int:
        if count == len(self._items):
            self._items.clear()
        else:
            for _ in range(count):
                self._items.popleft()
        self._done += count
        self._progressed.set()
        return count


def stale(items: Iterable[Item]) -> int:
    """How many items at the head belong to an assignment that is over; a lane drops them all at once."""
    return sum(1 for _ in takewhile(lambda item: item[2].closed, items))
