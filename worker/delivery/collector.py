"""Publishes in input order and says what is acknowledged.

Each output partition has a lane: a queue and one group of records on its way. While a group is on its way the next one
gathers, so groups grow with the load and nobody lingers; and since a lane has one group under way at most, a retry can
never overtake.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Sequence
from itertools import islice
from typing import NamedTuple, Protocol

from worker.clock import Clock
from worker.delivery.dead_letters import DeadLetterFuse
from worker.delivery.outputs import OutputWriter, record_bytes
from worker.errors import DeliveryError, RecordError, RecordTooLargeError
from worker.metrics import Metrics
from worker.records import TOMBSTONE, Entry, OutputRecord, TopicPartition

logger = logging.getLogger(__name__)

MAX_GROUP_RECORDS = 4096


class Publisher(Protocol):
    """The way to the broker."""

    async def publish(self, topic: str, partition: int, records: Sequence[OutputRecord]) -> int:
        """Publish as many of the first `records` as one batch takes, at least one, and wait for all in-sync replicas.

        Answers how many were acknowledged. Retries what may pass for as long as it takes. Raises RecordTooLargeError
        when the broker refuses the size, DeliveryError when trying again will not help.
        """


class Owner(Protocol):
    """Who is told of acknowledgements; nothing of a closed owner is published."""

    @property
    def closed(self) -> bool: ...

    def acknowledged(self, partition: TopicPartition, entries: Sequence[Entry]) -> None: ...


class _Item(NamedTuple):
    output: OutputRecord
    entry: Entry
    owner: Owner


class RecordCollector:
    """Sends results and dead letters. For one event loop."""

    def __init__(
        self,
        *,
        publisher: Publisher,
        writer: OutputWriter,
        fuse: DeadLetterFuse,
        clock: Clock,
        metrics: Metrics,
        on_acknowledged: Callable[[], None],
        on_failure: Callable[[BaseException], None],
    ) -> None:
        self._publisher = publisher
        self._writer = writer
        self._fuse = fuse
        self._clock = clock
        self._metrics = metrics
        self._on_acknowledged = on_acknowledged
        self._on_failure = on_failure
        self._lanes: dict[tuple[str, int], _Lane] = {}

    def send(self, entries: Sequence[Entry], owner: Owner) -> None:
        """Publish the outcomes of entries of one partition, in this order; raises FuseError.

        When the fuse blows, the entries before the last straw are still published.
        """
        for entry, output in zip(entries, self._writer.write(entries), strict=True):
            if isinstance(entry.outcome, RecordError):
                self._fuse.record(True)
                logger.debug("dead letter: %s: %s", entry.record.source, entry.outcome)
            else:
                self._fuse.record_classified(1)
            self._lane(output).append(_Item(output, entry, owner))

    async def flush(self) -> None:
        """Wait until everything sent before is acknowledged or dropped."""
        for lane in list(self._lanes.values()):
            await lane.flush()

    async def stop(self) -> None:
        """Stop all lanes; what is not acknowledged by now stays unacknowledged."""
        for lane in self._lanes.values():
            lane.stop()
        await asyncio.gather(*(lane.routine for lane in self._lanes.values()), return_exceptions=True)

    def _lane(self, output: OutputRecord) -> _Lane:
        key = output.topic, output.partition
        lane = self._lanes.get(key)
        if lane is None:
            lane = self._lanes[key] = _Lane(self, output.topic, output.partition)
        return lane

    async def _publish(self, topic: str, partition: int, items: Sequence[_Item]) -> int:
        """Publish a group; answers how many of its first items are done with."""
        started_at = self._clock.monotonic()
        count = await self._publisher.publish(topic, partition, [item.output for item in items])
        now = self._clock.monotonic()
        self._metrics.publish_seconds.observe(now - started_at)
        self._acknowledge(items[:count], now)
        return count

    def _acknowledge(self, items: Sequence[_Item], now: float) -> None:
        oldest = items[0].entry
        self._metrics.worker_seconds.observe(now - oldest.arrived_at)
        self._metrics.end_to_end_seconds.observe(max(0.0, now - oldest.waiting_since))
        owned: dict[tuple[Owner, TopicPartition], list[Entry]] = {}
        classified = 0
        for _, entry, owner in items:
            owned.setdefault((owner, entry.record.partition), []).append(entry)
            if isinstance(entry.outcome, RecordError):
                self._metrics.dead_letters.labels(entry.outcome.reason.value).inc()
            elif entry.outcome is TOMBSTONE:
                self._metrics.tombstones.inc()
            else:
                classified += 1
        self._metrics.events_out.inc(classified)
        for (owner, partition), entries in owned.items():
            owner.acknowledged(partition, entries)
        self._on_acknowledged()

    def _refuse(self, item: _Item) -> None:
        """The broker does not take this one record: it becomes a dead letter, unless it is one already."""
        size_bytes = record_bytes(item.output)
        if self._writer.is_dead_letter(item.output):
            raise DeliveryError(
                f"the dead letter for {item.entry.record.source} has {size_bytes} bytes, more than"
                f" {item.output.topic} takes; raise its max.message.bytes and start the worker again"
            )
        self._fuse.record(True)
        output = self._writer.refuse_as_too_large(item.entry, size_bytes, f"the broker takes for {item.output.topic}")
        self._lane(output).append(_Item(output, item.entry, item.owner))


class _Lane:
    """The queue of one output partition, and the routine that empties it."""

    def __init__(self, collector: RecordCollector, topic: str, partition: int) -> None:
        self._collector = collector
        self._topic = topic
        self._partition = partition
        self._items: deque[_Item] = deque()
        self._arrived = asyncio.Event()
        self._progressed = asyncio.Event()
        self._appended = 0
        self._done = 0
        self.routine = asyncio.create_task(self._run(), name=f"publish {topic}/{partition}")

    def append(self, item: _Item) -> None:
        self._items.append(item)
        self._appended += 1
        self._arrived.set()

    async def flush(self) -> None:
        until = self._appended
        while self._done < until and not self.routine.done():
            self._progressed.clear()
            await self._progressed.wait()

    def stop(self) -> None:
        self.routine.cancel()

    async def _run(self) -> None:
        try:
            while True:
                await self._arrived.wait()
                while self._items:
                    await self._publish_next()
                self._arrived.clear()
        except Exception as error:  # noqa: BLE001 - a lane that ends would hold its partition back without a word
            self._collector._on_failure(error)  # noqa: SLF001
        finally:
            self._progressed.set()

    async def _publish_next(self, group_limit: int = MAX_GROUP_RECORDS) -> None:
        """Publish one group. One that is refused for its size is halved until the record that is too large is alone."""
        if self._items[0].owner.closed:
            self._drop(1)
            return
        group = list(islice(self._items, group_limit))
        try:
            count = await self._collector._publish(self._topic, self._partition, group)  # noqa: SLF001
        except RecordTooLargeError:
            if len(group) > 1:
                await self._publish_next(len(group) // 2)
                return
            self._collector._refuse(group[0])  # noqa: SLF001
            count = 1
        self._drop(count)

    def _drop(self, count: int) -> None:
        for _ in range(count):
            self._items.popleft()
        self._done += count
        self._progressed.set()
