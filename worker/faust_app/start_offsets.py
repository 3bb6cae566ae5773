"""Where an assignment starts, and which of its records are no longer there."""

from __future__ import annotations

import asyncio
import contextlib
import copy
import logging
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from aiokafka.consumer.fetcher import READ_UNCOMMITTED
from aiokafka.errors import IllegalStateError, KafkaError
from aiokafka.structs import OffsetAndMetadata
from aiokafka.structs import TopicPartition as KafkaPartition

from worker.faust_app.committed import committed_offsets
from worker.records import TopicPartition
from worker.tasks import OnFailure, owned

logger = logging.getLogger(__name__)

GAP_TIMEOUT_S = 10.0
NO_LEADER = -1


async def start_offsets(
    consumer: Any, partitions: Collection[KafkaPartition], *, from_beginning: bool
) -> dict[TopicPartition, int | None]:
    """The committed offset of each; None where there is none, which means the oldest record.

    Raises KafkaError when the broker cannot say now, IllegalStateError when only the next assignment can begin. Call it
    on the consumer's own event loop.
    """
    committed = await committed_offsets(consumer, partitions)
    # One without a leader says nothing for as long as it has none, and must not keep the others from starting.
    wanted = {partition: committed[partition].offset for partition in with_leader(consumer, committed)}
    await warn_of_deleted(consumer, wanted)
    await _begin_anew_where_the_end_was_lost(consumer, {partition: committed[partition] for partition in wanted})
    if not from_beginning and len(committed) < len(partitions):
        committed |= await _started_at_the_end(consumer, partitions)
    return {
        TopicPartition(*partition): committed[partition].offset if partition in committed else None
        for partition in partitions
    }


def with_leader(consumer: Any, partitions: Iterable[KafkaPartition]) -> list[KafkaPartition]:
    """Those of which the brokers do not say that they have no leader."""
    cluster = consumer._client.cluster
    return [partition for partition in partitions if cluster.leader_for_partition(partition) != NO_LEADER]


async def _begin_anew_where_the_end_was_lost(
    consumer: Any, committed: Mapping[KafkaPartition, OffsetAndMetadata]
) -> None:
    """A committed offset behind the end is one of records that are gone: those that come would count as done.

    The group's offset is set to the oldest record, and the assignment made anew: this one may have fetched already.
    """
    ends = await _log_ends(consumer, committed)
    lost = [partition for partition, end in ends.items() if committed[partition].offset > end]
    if not lost:
        return
    oldest = await consumer.beginning_offsets(lost)
    for partition in lost:
        logger.error(
            "%s/%d ends at %d, and the group has committed %d: the topic was made anew, or a broker lost its end; "
            "reading from the oldest record on",
            partition.topic,
            partition.partition,
            ends[partition],
            committed[partition].offset,
        )
    starts = {partition: OffsetAndMetadata(oldest[partition], committed[partition].metadata) for partition in lost}
    await consumer.commit(starts)
    consumer._coordinator.request_rejoin()
    raise IllegalStateError("the next assignment begins at the oldest records")


async def _log_ends(consumer: Any, partitions: Collection[KafkaPartition]) -> dict[KafkaPartition, int]:
    """The ends, open transactions included: a reader of committed records is told where the first of these begins."""
    if not partitions:
        return {}
    fetcher = copy.copy(consumer._fetcher)  # one that differs in nothing but how it asks
    fetcher._isolation_level = READ_UNCOMMITTED
    ends: dict[KafkaPartition, int] = await fetcher.end_offsets(partitions, round(GAP_TIMEOUT_S * 1000))
    return ends


async def _started_at_the_end(
    consumer: Any, partitions: Iterable[KafkaPartition]
) -> dict[KafkaPartition, OffsetAndMetadata]:
    """Where a group without offsets starts with new records only: the ends, stored at once.

    Until a first commit every restart would begin at the newest end, and skip what came in between. They are stored for
    the whole topic: a partition without an offset, in a group that has others, was added later, and all of it is new.
    """
    topics = {partition.topic for partition in partitions}
    whole = [KafkaPartition(topic, number) for topic in topics for number in consumer.partitions_for_topic(topic) or ()]
    stored = await committed_offsets(consumer, whole)  # by another member, since this one has looked
    known = {partition.topic for partition in stored}
    ends = await consumer.end_offsets([partition for partition in whole if partition.topic not in known])
    starts = {partition: OffsetAndMetadata(end, "") for partition, end in ends.items()}
    # Not the consumer's own commit(), which takes assigned partitions only.
    await consumer._coordinator.commit_offsets(consumer._subscription.subscription.assignment, starts)
    starts |= stored
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

    def __init__(self, consumer: Any, on_failure: OnFailure) -> None:
        self._consumer = consumer
        self._on_failure = on_failure
        self._looking: dict[KafkaPartition, asyncio.Task[None]] = {}

    def look_into(self, partition: KafkaPartition, wanted: int, first: int) -> None:
        """The offsets from `wanted` to the one before `first` did not come."""
        if partition in self._looking:
            return
        looking = self._looking[partition] = owned(
            self._explain(partition, wanted, first), "look into a gap", self._on_failure, ends=True
        )
        looking.add_done_callback(lambda _: self._looking.pop(partition, None))

    async def _explain(self, partition: KafkaPartition, wanted: int, first: int) -> None:
        with contextlib.suppress(KafkaError, TimeoutError):
            async with asyncio.timeout(GAP_TIMEOUT_S):
                await warn_of_deleted(self._consumer, {partition: wanted}, first)
