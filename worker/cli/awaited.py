"""One review sent through: the record that it became, on the output topic or among the dead letters."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Iterable
from typing import TYPE_CHECKING, Any

from worker.called import how_called
from worker.cli.consume import POLL_S, dead_letter_members, reader
from worker.cli.kafka import may_read, started
from worker.delivery.outputs import SOURCE_HEADER
from worker.errors import UnansweredError
from worker.settings import Settings
from worker.topic_specs import TopicDescription

if TYPE_CHECKING:
    from aiokafka import ConsumerRecord


class Results:
    """What is published from now on; made by `results_from_now`."""

    def __init__(self, consumer: Any, settings: Settings) -> None:
        self._consumer = consumer
        self._settings = settings

    async def of(self, source: str, wait_s: float) -> ConsumerRecord:
        """The output of the input record at `source`, ``topic/partition/offset``.

        Raises `UnansweredError` when it became a dead letter, and when nothing comes for `wait_s` seconds.
        """
        until = time.monotonic() + wait_s
        while time.monotonic() < until:
            fetched = await self._consumer.getmany(timeout_ms=int(POLL_S * 1000))
            for record in (record for part in fetched.values() for record in part):
                if record.topic == self._settings.output_topic:
                    # A producer may have a header of that name too; the worker's comes last.
                    if dict(record.headers).get(SOURCE_HEADER) == source.encode():
                        return record
                elif (letter := dead_letter_members(record))["source"] == source:
                    raise UnansweredError(
                        f"{source} became a dead letter, {letter['reason']}: {letter['message']}"
                        f" ({record.topic}/{record.partition}/{record.offset})"
                    )
        raise UnansweredError(
            f"{source} has no result after {wait_s:g} s: is a worker of this group running, and how far behind is it?"
            f" {how_called()} topics shows the lag"
        )


@contextlib.asynccontextmanager
async def results_from_now(settings: Settings, topics: Iterable[TopicDescription]) -> AsyncIterator[Results]:
    """Read outputs and dead letters, which are among `topics`, from their present ends on, without a group.

    What is produced after this has begun cannot be missed.
    """
    from aiokafka import TopicPartition

    results = (settings.output_topic, settings.dead_letter_topic)
    places = [
        TopicPartition(topic.name, number)
        for topic in topics
        if topic.name in results
        for number in range(topic.partitions)
    ]
    async with started(reader(settings), settings) as consumer, may_read():
        consumer.assign(places)
        await consumer.seek_to_end(*places)
        await asyncio.gather(*map(consumer.position, places))
        yield Results(consumer, settings)
