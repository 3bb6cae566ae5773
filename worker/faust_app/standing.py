"""How far the partitions of an assignment are read, and how far they go."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from typing import Any, NamedTuple

from aiokafka.errors import KafkaError, KafkaTimeoutError, UnknownTopicOrPartitionError
from aiokafka.protocol.metadata import MetadataRequest
from aiokafka.structs import TopicPartition as KafkaPartition

from worker.faust_app.start_offsets import log_ends, with_leader
from worker.records import TopicPartition

POSITION_TIMEOUT_S = 10.0
PATIENCE_S = 5.0
"""A broker that has not said for so long how far its partitions go is away."""


class MissingTopicError(KafkaError):  # type: ignore[misc]  # aiokafka's types are Any
    """The broker answers, and says that there is no such topic."""


class Standing(NamedTuple):
    """How far a partition is read."""

    position: int
    """Next offset to fetch; transaction markers count as read."""
    end: int
    """Next offset that a producer would get (the high watermark)."""
    delivered_until: int | None
    """Next offset after the last record handed over in this assignment."""
    open_from: int | None = None
    """Where the first transaction that is still open begins: nothing from there on may be read yet."""
    damaged: int | None = None
    """The offset that cannot be read, where the partition waits for that (`worker.faust_app.damaged_partitions`)."""

    @property
    def readable(self) -> int:
        """Next offset after what may be read now."""
        return self.end if self.open_from is None else self.open_from


async def standing_of(
    consumer: Any, delivered_until: Callable[[KafkaPartition], int | None], *, read_committed: bool
) -> dict[TopicPartition, Standing]:
    """How far each assigned partition is read and how far it goes; those without a leader are left out.

    Without an assignment the broker is asked all the same. Raises MissingTopicError when it knows no such topic,
    KafkaError when it cannot say, TimeoutError when aiokafka does not know its own position. Call it on the consumer's
    own event loop.
    """
    assigned = consumer.assignment()
    some = {KafkaPartition(topic, 0) for topic in consumer.subscription()}
    asked = with_leader(consumer, assigned) or some
    try:
        async with asyncio.timeout(PATIENCE_S):
            await _see_topics(consumer, consumer.subscription())
            ends = await log_ends(consumer, asked)
            # Asked later, so that what lies below the ends and may not be read is of a transaction that is open.
            stable = await consumer.end_offsets(asked) if read_committed else {}
    except TimeoutError as error:
        raise KafkaTimeoutError(f"no answer for {PATIENCE_S:g} s") from error
    standing = {}
    for partition in assigned & ends.keys():
        async with asyncio.timeout(POSITION_TIMEOUT_S):
            position = await consumer.position(partition)
        end, open_from = ends[partition], stable.get(partition)
        if open_from is not None and open_from >= end:
            open_from = None
        standing[TopicPartition(*partition)] = Standing(position, end, delivered_until(partition), open_from)
    return standing


async def _see_topics(consumer: Any, topics: Collection[str]) -> None:
    """Raises MissingTopicError. aiokafka drops a topic from what it knows, and waits for it when it is asked of it."""
    client = consumer._client
    unknown = [topic for topic in topics if client.cluster.partitions_for_topic(topic) is None]
    if not unknown:
        return
    request = MetadataRequest(unknown, allow_auto_topic_creation=False)
    answer = (await client.send(client.get_random_node(), request)).to_object()
    code = UnknownTopicOrPartitionError.errno
    if missing := sorted(topic["topic"] for topic in answer["topics"] if topic["error_code"] == code):
        raise MissingTopicError(", ".join(missing))
