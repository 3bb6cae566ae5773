"""Where an assignment starts, and which of its records are no longer there."""

from __future__ import annotations

import asyncio
import contextlib
import copy
import logging
from collections.abc import Collection, Iterable, Mapping
from itertools import groupby
from typing import Any, NoReturn

from aiokafka.consumer.fetcher import READ_UNCOMMITTED
from aiokafka.errors import IllegalStateError, KafkaError
from aiokafka.structs import OffsetAndMetadata
from aiokafka.structs import TopicPartition as KafkaPartition

from worker.delivery.offset_metadata import OffsetMetadata
from worker.kafka.compat.stable_offset_fetch import committed_offsets
from worker.records import TopicPartition
from worker.source.topic_ids import TopicIds
from worker.tasks import OnFailure, owned

logger = logging.getLogger(__name__)

GAP_TIMEOUT_S = 10.0
NO_LEADER = -1

Offsets = dict[KafkaPartition, OffsetAndMetadata]


class Starts:
    """Where the assignments of one consumer start. For the consumer's own event loop."""

    def __init__(self, consumer: Any, topic_ids: TopicIds, *, from_beginning: bool) -> None:
        self._consumer = consumer
        self._topic_ids = topic_ids
        self._from_beginning = from_beginning
        self._told: set[KafkaPartition] = set()
        """Partitions of which it was said where they start without an offset."""

    async def of(self, partitions: Collection[KafkaPartition], generation: int) -> dict[TopicPartition, int | None]:
        """The committed offset of each; None where there is none, which means the oldest record.

        Raises KafkaError when the broker cannot say now, IllegalStateError when only the next assignment can begin.
        """
        await self._topic_ids.look(partitions)
        committed = await committed_offsets(self._consumer, partitions)
        if await self.begin_anew(partitions, committed) or self._topic_ids.is_mixed(generation):
            self._leave_it_to_the_next_assignment()
        # One without a leader says nothing for as long as it has none, and must not keep the others from starting.
        wanted = {partition: committed[partition].offset for partition in with_leader(self._consumer, committed)}
        await warn_of_deleted(self._consumer, wanted)
        await self._begin_anew_where_the_end_was_lost({partition: committed[partition] for partition in wanted})
        if missing := [partition for partition in partitions if partition not in committed]:
            committed |= await self._start_without_offset(missing)
        if self._topic_ids.is_mixed(generation):
            self._leave_it_to_the_next_assignment()
        self._topic_ids.begin()
        return {
            TopicPartition(*partition): committed[partition].offset if partition in committed else None
            for partition in partitions
        }

    async def begin_anew(self, partitions: Iterable[KafkaPartition], committed: Offsets) -> bool:
        """Have the group begin topics that were made anew at their beginning; whether there was anything to store.

        An offset of the topic before means nothing in the new one. Kafka deletes the offsets of a topic that is
        deleted, so a partition may have none; it must not be taken for one that is read for the first time.
        """
        starts: Offsets = {}
        for partition in partitions:
            topic_id, stored = self._topic_ids.known(partition.topic), committed.get(partition)
            metadata = OffsetMetadata.parse(stored.metadata if stored else "")
            if stored and not metadata.is_of(topic_id):
                logger.error(
                    "%s/%d is read from its beginning: the group has committed %d in a topic of that name that is gone"
                    " (topic id %s; now %s)",
                    partition.topic,
                    partition.partition,
                    stored.offset,
                    metadata.topic_id,
                    topic_id,
                )
            elif stored or partition.topic not in self._topic_ids.made_anew:
                continue
            starts[partition] = OffsetAndMetadata(0, str(metadata._replace(topic_id=topic_id)))
        if starts:
            await self._consumer.commit(starts)
        return bool(starts)

    async def _begin_anew_where_the_end_was_lost(self, committed: Offsets) -> None:
        """A committed offset behind the end is one of records that are gone: those that come would count as done.

        The group's offset is set to the oldest record, and the assignment made anew: this one may have fetched already.
        """
        ends = await log_ends(self._consumer, committed)
        lost = [partition for partition, end in ends.items() if committed[partition].offset > end]
        if not lost:
            return
        oldest = await self._consumer.beginning_offsets(lost)
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
        await self._consumer.commit(starts)
        self._leave_it_to_the_next_assignment()

    def _leave_it_to_the_next_assignment(self) -> NoReturn:
        """This one may have fetched from elsewhere already."""
        self._consumer._coordinator.request_rejoin()
        raise IllegalStateError("the next assignment begins at the oldest records")

    async def _start_without_offset(self, partitions: Collection[KafkaPartition]) -> Offsets:
        """Start partitions that the group has no offset of, and say so; answers the offsets that are stored now.

        With new records only they start at the ends, which are stored at once: until a first commit every restart would
        begin at the newest end, and skip what came in between. They are stored for the whole topic: a partition without
        an offset, in a group that has others, was added later, and all of it is new.
        """
        consumer = self._consumer
        if self._from_beginning:
            await self._say(partitions, "beginning", "from_beginning is on")
            return {}
        topics = {partition.topic for partition in partitions}
        whole = [
            KafkaPartition(topic, number) for topic in topics for number in consumer.partitions_for_topic(topic) or ()
        ]
        stored = await committed_offsets(consumer, whole)  # by another member, since this one has looked
        known = {partition.topic for partition in stored}
        added = [partition for partition in partitions if partition.topic in known and partition not in stored]
        await self._say(added, "beginning", "as partitions do that are added to a topic of which the group has offsets")
        at_end = [partition for partition in whole if partition.topic not in known]
        await self._say(at_end, "end", "from_beginning is off")
        # One without a leader has no end now. When it has one again, it is read from its beginning.
        ends = await consumer.end_offsets(with_leader(consumer, at_end))
        starts = {
            partition: OffsetAndMetadata(end, str(OffsetMetadata(self._topic_ids.known(partition.topic))))
            for partition, end in ends.items()
        }
        # Not the consumer's own commit(), which takes assigned partitions only.
        await consumer._coordinator.commit_offsets(consumer._subscription.subscription.assignment, starts)
        starts |= stored
        ours = {partition: starts[partition] for partition in partitions if partition in starts}
        for partition, start in ours.items():
            consumer.seek(partition, start.offset)
        return ours

    async def _say(self, partitions: Collection[KafkaPartition], place: str, why: str) -> None:
        """Say once where partitions start that the group has no offset of; a warning where that touches records.

        A group is new, or its offsets have expired, or were deleted, or it has another name than before: Kafka does not
        tell which.
        """
        present = with_leader(self._consumer, [each for each in partitions if each not in self._told])
        if not present:
            return
        oldest, ends = await self._consumer.beginning_offsets(present), await log_ends(self._consumer, present)
        self._told.update(present)
        for topic, group in groupby(sorted(present), key=lambda each: each.topic):
            places = list(group)
            records = sum(ends[each] - oldest[each] for each in places)
            what = "are read, again if it is not new" if place == "beginning" else "that are there are not read"
            logger.log(
                logging.WARNING if records else logging.INFO,
                "group %s has no committed offset of partitions %s of %s; it starts at their %s (%s): %s",
                self._consumer._coordinator.group_id,
                in_ranges(each.partition for each in places),
                topic,
                place,
                why,
                f"up to {records} records {what}" if records else "there are no records yet",
            )


def with_leader(consumer: Any, partitions: Iterable[KafkaPartition]) -> list[KafkaPartition]:
    """Those of which the brokers do not say that they have no leader."""
    cluster = consumer._client.cluster
    return [partition for partition in partitions if cluster.leader_for_partition(partition) != NO_LEADER]


def in_ranges(numbers: Iterable[int]) -> str:
    """Numbers as a person writes them: ``0-5, 7``."""
    runs: list[list[int]] = []
    for number in sorted(set(numbers)):
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return ", ".join(f"{run[0]}-{run[-1]}" if len(run) > 1 else str(run[0]) for run in runs)


async def log_ends(consumer: Any, partitions: Collection[KafkaPartition]) -> dict[KafkaPartition, int]:
    """The ends, open transactions included: a reader of committed records is told where the first of these begins."""
    if not partitions:
        return {}
    fetcher = copy.copy(consumer._fetcher)  # one that differs in nothing but how it asks
    fetcher._isolation_level = READ_UNCOMMITTED
    ends: dict[KafkaPartition, int] = await fetcher.end_offsets(partitions, round(GAP_TIMEOUT_S * 1000))
    return ends


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
