"""Publishes results and dead letters in input order, and says what is acknowledged.

Each output partition has a lane (`worker.delivery.lane`); what one input partition yields goes into its lane in input
order, and lanes do not wait for each other.
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Protocol

from worker.clock import Clock
from worker.delivery.dead_letters import DeadLetterFuse
from worker.delivery.lane import Item, Lane, Owner
from worker.delivery.outputs import OutputWriter, record_bytes
from worker.errors import DeliveryError, Reason, RecordError
from worker.metrics import Metrics
from worker.records import TOMBSTONE, Entry, OutputRecord

logger = logging.getLogger(__name__)


class Publisher(Protocol):
    """The way to the broker."""

    async def publish(
        self, topic: str, partition: int, records: Sequence[OutputRecord], abandoned: Callable[[], bool]
    ) -> int:
        """Publish as many of the first `records` as one batch takes, at least one, and wait for all in-sync replicas.

        Answers how many were acknowledged. Retries what may pass for as long as it takes, or until `abandoned`, and
        answers 0 then. Raises RecordTooLargeError when the broker refuses the size, DeliveryError when trying again
        will not help.
        """


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
        self._lanes: dict[tuple[str, int], Lane] = {}

    def send(self, entries: Sequence[Entry], owner: Owner) -> None:
        """Publish the outcomes of entries of one partition, in this order; raises FuseError.

        When the fuse blows, the entries before the last straw are still published.
        """
        lanes: dict[tuple[str, int], list[Item]] = defaultdict(list)
        classified = 0
        try:
            for entry, output in zip(entries, self._writer.write(entries), strict=True):
                outcome = entry.outcome
                if isinstance(outcome, RecordError):
                    self._fuse.record_classified(classified)
                    classified = 0
                    logger.debug("dead letter: %s: %s", entry.record.source, outcome)
                    self._fuse.record(True, outcome.reason)
                else:
                    classified += 1
                lanes[output.topic, output.partition].append((output, entry, owner))
            self._fuse.record_classified(classified)
        finally:
            for (topic, partition), items in lanes.items():
                self._lane(topic, partition).extend(items)

    async def flush(self) -> None:
        """Wait until everything sent before is acknowledged or dropped."""
        for lane in list(self._lanes.values()):
            await lane.flush()

    async def stop(self) -> None:
        """Stop all lanes; what is not acknowledged by now stays unacknowledged."""
        routines = [lane.routine for lane in self._lanes.values()]
        for routine in routines:
            routine.cancel()
        await asyncio.gather(*routines, return_exceptions=True)

    # --- called by the lanes ----------------------------------------------------------------------------------------

    async def publish(self, topic: str, partition: int, items: Sequence[Item]) -> int:
        """See `worker.delivery.lane.LaneEvents`."""
        started_at = self._clock.monotonic()
        owner = items[0][2]
        count = await self._publisher.publish(topic, partition, [item[0] for item in items], lambda: owner.closed)
        if not count:
            return 0
        now = self._clock.monotonic()
        self._metrics.publish_seconds.observe(now - started_at)
        self._acknowledge(items[:count], now)
        return count

    def refuse(self, item: Item) -> None:
        """See `worker.delivery.lane.LaneEvents`. A dead letter that is refused stops the worker: DeliveryError."""
        output, entry, owner = item
        size_bytes = record_bytes(output)
        if self._writer.is_dead_letter(output):
            raise DeliveryError(
                f"the dead letter for {entry.record.source} has {size_bytes} bytes, more than"
                f" {output.topic} takes; raise its max.message.bytes and start the worker again"
            )
        self._fuse.record(True, Reason.OUTPUT_TOO_LARGE)
        letter = self._writer.refuse_as_too_large(entry, size_bytes, f"the broker takes for {output.topic}")
        self._lane(letter.topic, letter.partition).extend(((letter, entry, owner),))

    def fail(self, error: BaseException) -> None:
        """See `worker.delivery.lane.LaneEvents`."""
        self._on_failure(error)

    # --- inside -----------------------------------------------------------------------------------------------------

    def _lane(self, topic: str, partition: int) -> Lane:
        lane = self._lanes.get((topic, partition))
        if lane is None:
            lane = self._lanes[topic, partition] = Lane(topic, partition, self, self._clock)
        return lane

    def _acknowledge(self, items: Sequence[Item], now: float) -> None:
        oldest = items[0][1]
        self._metrics.worker_seconds.observe(now - oldest.arrived_at)
        self._metrics.end_to_end_seconds.observe(max(0.0, now - oldest.waiting_since))
        classified = first = 0
        owner, partition = items[0][2], oldest.record.partition
        for index, (_, entry, entry_owner) in enumerate(items):
            if entry_owner is not owner or entry.record.partition != partition:
                owner.acknowledged(partition, [item[1] for item in items[first:index]])
                owner, partition, first = entry_owner, entry.record.partition, index
            outcome = entry.outcome
            if isinstance(outcome, RecordError):
                self._metrics.dead_letters.labels(outcome.reason.value).inc()
            elif outcome is TOMBSTONE:
                self._metrics.tombstones.inc()
            else:
                classified += 1
        owner.acknowledged(partition, [item[1] for item in items[first:]])
        self._metrics.events_out.inc(classified)
        self._on_acknowledged()
