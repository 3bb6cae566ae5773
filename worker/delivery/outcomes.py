"""From outcomes to records and back: what is published for them, the fuse, and the counts of what is acknowledged."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from worker.clock import Clock
from worker.delivery.dead_letter_log import DeadLetterLog
from worker.delivery.dead_letters import DeadLetterFuse
from worker.delivery.outputs import OutputWriter, record_bytes, why_invalid
from worker.delivery.owner import Owner
from worker.errors import DeliveryError, Reason, RecordError
from worker.observability.metrics import Metrics
from worker.observability.tracing import Tracing
from worker.records import TOMBSTONE, Entry, OutputRecord

logger = logging.getLogger(__name__)

Item = tuple[OutputRecord, Entry, Owner]
"""What to publish, what it came from, and who wants to know. A plain tuple: one is made for every record."""


class Outcomes:
    """Writes what is published for entries, and says what became of it. For one event loop."""

    def __init__(
        self,
        *,
        writer: OutputWriter,
        fuse: DeadLetterFuse,
        clock: Clock,
        metrics: Metrics,
        on_acknowledged: Callable[[], None],
        tracing: Tracing | None = None,
        letters: DeadLetterLog | None = None,
    ) -> None:
        self._writer = writer
        self._fuse = fuse
        self._clock = clock
        self._metrics = metrics
        self._on_acknowledged = on_acknowledged
        self._tracing = tracing
        self._letters = letters or DeadLetterLog(clock)
        self._classified_since = False
        """Whether there was a classified event after the last one that was refused."""

    def write(self, entries: Sequence[Entry], owner: Owner) -> Iterator[Item]:
        """An item for each entry, in order; raises FuseError at the last straw, which is not an item any more."""
        classified = 0
        for entry, output in zip(entries, self._writer.write(entries), strict=True):
            outcome = entry.outcome
            if isinstance(outcome, RecordError):
                self._fuse.record_classified(classified)
                classified = 0
                logger.debug("dead letter: %s: %s", entry.record.source, outcome)
                self._fuse.record(True, outcome.reason, f"{entry.record.source}: {outcome}")
            else:
                classified += 1
            yield output, entry, owner
        self._fuse.record_classified(classified)

    def refused(self, item: Item, reason: Reason) -> Item:
        """The dead letter for an output that the broker does not take for `reason`; raises FuseError.

        A dead letter whose time is refused gets that of now. One that is refused for something else stops the worker:
        DeliveryError.
        """
        output, entry, owner = item
        self._writer.learn(output, reason)
        if self._writer.is_dead_letter(output):
            outcome = entry.outcome
            if reason is Reason.TIMESTAMP_REFUSED and output.timestamp_ms >= 0 and isinstance(outcome, RecordError):
                return self._writer.refuse(entry, outcome, time_of_now=True), entry, owner
            raise _refused_letter(output, entry.record.source, reason)
        if self._classified_since:
            self._fuse.interrupt()
            self._classified_since = False
        self._fuse.record(True, reason, f"{entry.record.source}: {output.topic} does not take its output")
        if reason is Reason.OUTPUT_TOO_LARGE:
            limit = f"the broker takes for {output.topic}"
            return self._writer.refuse_as_too_large(entry, record_bytes(output), limit), entry, owner
        if reason is Reason.TIMESTAMP_REFUSED:
            return self._writer.refuse_for_its_time(entry), entry, owner
        return self._writer.refuse_as_invalid(entry), entry, owner

    def known_refusals(self, items: Iterable[Item]) -> dict[int, Reason]:
        """Which of `items`, by index, are known to be refused. Dead letters are not: they are sent in any case."""
        if not self._writer.knows_refusals:
            return {}
        found = ((index, self._writer.refusal(item[0])) for index, item in enumerate(items))
        return {index: reason for index, reason in found if reason is not None}

    def refused_among(self, items: Iterable[Item], refused: Mapping[int, Reason]) -> Iterator[Item]:
        """The dead letters for those of `items` that are `refused`, by index; the others are published already."""
        for index, item in enumerate(items):
            reason = refused.get(index)
            if reason is None:
                self._classified_since |= not isinstance(item[1].outcome, RecordError)
            else:
                yield self.refused(item, reason)

    def refused_alike(self, items: Iterable[Item]) -> Iterator[Item]:
        """`items`, with dead letters in place of those that need not be sent again to be refused; raises FuseError."""
        classified = False
        for item in items:
            reason = None if item[2].closed else self._writer.refusal(item[0])
            if reason is None:
                classified |= not isinstance(item[1].outcome, RecordError)
                yield item
            else:
                self._classified_since |= classified
                classified = False
                yield self.refused(item, reason)

    def acknowledged(self, items: Sequence[Item]) -> None:
        """The broker has `items`: tell their owners, and count them."""
        now = self._clock.monotonic()
        self._metrics.worker_seconds.observe_all(now - item[1].arrived_at for item in items)
        self._metrics.end_to_end_seconds.observe_all(now - item[1].waiting_since for item in items)
        classified = first = 0
        owner, partition = items[0][2], items[0][1].record.partition
        for index, (_, entry, entry_owner) in enumerate(items):
            if entry_owner is not owner or entry.record.partition != partition:
                owner.acknowledged(partition, [item[1] for item in items[first:index]])
                owner, partition, first = entry_owner, entry.record.partition, index
            outcome = entry.outcome
            if isinstance(outcome, RecordError):
                self._metrics.dead_letters.labels(outcome.reason.value).inc()
                self._letters.add(outcome.reason, entry.record.source)
            elif outcome is TOMBSTONE:
                self._metrics.tombstones.inc()
            else:
                classified += 1
        owner.acknowledged(partition, [item[1] for item in items[first:]])
        self._metrics.events_out.inc(classified)
        self._classified_since |= classified > 0
        if self._tracing is not None:
            self._tracing.published([item[:2] for item in items])
        self._on_acknowledged()


def _refused_letter(letter: OutputRecord, source: str, reason: Reason) -> DeliveryError:
    if reason is Reason.OUTPUT_TOO_LARGE:
        return DeliveryError(
            f"the dead letter for {source} has {record_bytes(letter)} bytes, more than {letter.topic} takes; raise its"
            " max.message.bytes and start the worker again"
        )
    if reason is Reason.TIMESTAMP_REFUSED:
        return DeliveryError(
            f"{letter.topic} does not take the dead letter for {source}, not even with the time of now; check the"
            " clocks of this machine and of the brokers, and the topic's message.timestamp.before.max.ms and"
            " message.timestamp.after.max.ms"
        )
    return DeliveryError(
        f"{letter.topic} does not take the dead letter for {source}: {why_invalid(letter)}; change the topic and start"
        " the worker again"
    )
