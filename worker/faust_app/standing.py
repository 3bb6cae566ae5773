"""How far the partitions of an assignment are read, and how far they go."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, NamedTuple

from aiokafka.errors import KafkaTimeoutError
from aiokafka.structs import TopicPartition as KafkaPartition

from worker.faust_app.start_offsets import with_leader
from worker.records import TopicPartition

POSITION_TIMEOUT_S = 10.0
PATIENCE_S = 5.0
"""A broker that has not said for so long how far its partitions go is away."""


class Standing(NamedTuple):
    """How far a partition is read."""

    position: int
    """Next offset to fetch; transaction markers count as read."""
    end: int
    """Next offset that a producer would get, or where the first open transaction begins."""
    delivered_until: int | None
    """Next offset after the last record handed over in this assignment."""


async def standing_of(
    consumer: Any, delivered_until: Callable[[KafkaPartition], int | None], *, read_committed: bool
) -> dict[TopicPartition, Standing]:
    """How far each assigned partition is read and how far it goes; those without a leader are left out.

    Without an assignment the broker is asked all the same. Raises KafkaError when the broker cannot say, TimeoutError
    when aiokafka does not know its own position. Call it on the consumer's own event loop.
    """
    assigned = consumer.assignment()
    some = {KafkaPartition(topic, 0) for topic in consumer.subscription()}
    try:
        async with asyncio.timeout(PATIENCE_S):
            ends = await consumer.end_offsets(with_leader(consumer, assigned) or some)
    except TimeoutError as error:
        raise KafkaTimeoutError(f"no answer for {PATIENCE_S:g} s") from error
    standing = {}
    for partition in assigned & ends.keys():
        async with asyncio.timeout(POSITION_TIMEOUT_S):
            position = await consumer.position(partition)
        end = ends[partition]
        if read_committed:
            # An open transaction upstream holds the readable end back.
            stable = consumer.last_stable_offset(partition)
            end = min(end, stable) if stable is not None and stable >= position else end
        standing[TopicPartition(*partition)] = Standing(position, end, delivered_until(partition))
    return standing
