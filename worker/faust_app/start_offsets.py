"""Where an assignment starts, and which of its records are no longer there."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from aiokafka.errors import KafkaError
from aiokafka.structs import OffsetAndMetadata
from aiokafka.structs import TopicPartition as KafkaPartition

from worker.faust_app.committed import committed_offsets
from worker.records import TopicPartition

logger = logging.getLogger(__name__)

GAP_TIMEOUT_S = 10.0


async def start_offsets(
    consumer: Any, partitions: Collection[KafkaPartition], *, from_beginning: bool
) -> dict[TopicPartition, int | None]:
    """The committed offset of each; None where there is none, which means the oldest record.

    Raises KafkaError when the broker cannot say now. Call it on the consumer's own event loop.
    """
    committed = await committed_offsets(consumer, partitions)
    await warn_of_deleted(consumer, {partition: at.offset for partition, at in committed.items()})
    if not from_beginning and len(committed) < len(partitions):
        committed |= await _started_at_the_end(consumer, partitions)
    return {
        TopicPartition(*partition): committed[partition].offset if partition in committed else None
        for partition in partitions
    }


async def _started_at_the_end(
    consumer: Any, partitions: Iterable[KafkaPartition]
) -> dict[KafkaPartition, OffsetAndMetadata]:
    """Where a group without offsets starts with new records only: the ends, stored at once.

    Until a first commit every restart would begin at the newest end, and skip what came in between. They are stored for
    the whole topic: a partition without an offset, in a group that has others, was added later, and all of it is new.
    """
    topics = {partition.topic for partition in partitions}
    whole = [KafkaPartition(topic, number) for topic in topics for number in consumer.partitions_for_topic(topic) or ()]
    known = {partition.topic for partition in await committed_offsets(consumer, whole)}
    ends = await consumer.end_offsets([partition for partition in whole if partition.topic not in known])
    starts = {partition: OffsetAndMetadata(end, "") for partition, end in ends.items()}
    # Not the consumer's own commit(), which takes assigned partitions only.
    await consumer._coordinator.commit_offsets(consumer._subscription.subscription.assignment, starts)
    ours = {partition: starts[partition] for partition in partitions if partition in starts}
    for partition, start in ours.items():
        consumer.seek(partition, start.offset)
    return ours


async def warn_of_deleted(consumer: Any, wanted: Mapping[KafkaPartition, int], until: int | None = None) -> None:
    """Say so when records from `wanted` on, or those of them below `until`, are no longer there."""
    oldest_of = await consumer.beginning_offsets(wanted) if wanted else {}
    for partition, oldest in oldest_of.items():
        first, end = wanted[partition], oldest if until is None else min(oldest, until)
        if first < end:
            logger.error(
                "%d records of %s/%d were deleted by the topic's retention before they were read (%d to %d)",
                end - first,
                partition.topic,
                partition.partition,
                first,
                end - 1,
            )


class Gaps:
    """Offsets may be missing for good reasons; whether records were deleted is asked beside the work."""

    def __init__(self, consumer: Any) -> None:
        self._consumer = consumer
        self._looking: dict[KafkaPartition, asyncio.Task[None]] = {}

    def look_into(self, partition: KafkaPartition, wanted: int, first: int) -> None:
        """The offsets from `wanted` to the one before `first` did not come."""
        if partition in self._looking:
            return
        looking = self._looking[partition] = asyncio.create_task(self._explain(partition, wanted, first))
        looking.add_done_callback(lambda _: self._looking.pop(partition, None))

    async def _explain(self, partition: KafkaPartition, wanted: int, first: int) -> None:
        with contextlib.suppress(KafkaError, TimeoutError):
            async with asyncio.timeout(GAP_TIMEOUT_S):
                await warn_of_deleted(self._consumer, {partition: wanted}, first)
