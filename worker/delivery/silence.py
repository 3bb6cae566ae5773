"""Saying that a topic takes no outputs, why as far as it is known, and when it takes them again."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import defaultdict
from collections.abc import Collection, Iterator
from typing import Any

from worker.logs import StateLog
from worker.records import TopicPartition
from worker.tasks import owned

logger = logging.getLogger(__name__)

SILENCE_S = 5.0
"""aiokafka says nothing for 40 s where a topic is gone or a broker does not answer."""
NO_LEADER = -1
WORDS = ("does not take outputs now", "has not taken outputs", "takes outputs again")


class Silence:
    """Says it for each topic, as a `StateLog` does, not for each partition. For one event loop."""

    def __init__(self) -> None:
        self._failing: dict[str, set[int]] = defaultdict(set)
        """Of each topic the partitions that take nothing now."""
        self._logs: dict[str, StateLog] = {}

    @contextlib.contextmanager
    def told(self, client: Any, places: Collection[TopicPartition], *, topics_only: bool = False) -> Iterator[None]:
        """While `places` are waited for, whose topics aiokafka's `client` looks for; says so when it takes long.

        With `topics_only` nothing is said where the client finds nothing amiss with the topics.
        """
        looking: list[asyncio.Task[None]] = []

        def look() -> None:  # nearly always called off: a task for each group would cost more
            looking.append(owned(self._look(client, places, topics_only), "look at silent topics", _note, ends=True))

        timer = asyncio.get_running_loop().call_later(SILENCE_S, look)
        try:
            yield
        except asyncio.CancelledError:
            self.forget(places)
            raise
        finally:
            timer.cancel()
            for task in looking:
                task.cancel()

    def failed(self, place: TopicPartition, reason: str) -> None:
        """`place` does not take outputs for `reason`."""
        self._failing[place.topic].add(place.partition)
        if place.topic not in self._logs:
            self._logs[place.topic] = StateLog(logger, place.topic, words=WORDS)
        self._logs[place.topic].away(reason, "trying again, nothing is lost")

    def acknowledged(self, places: Collection[TopicPartition]) -> None:
        """`places` have taken outputs."""
        for place in places:
            failing = self._failing.get(place.topic)
            if failing:
                failing.discard(place.partition)
                if not failing:
                    self._logs[place.topic].back()

    def forget(self, places: Collection[TopicPartition]) -> None:
        """Nobody waits for `places` any more, whatever they do."""
        for place in places:
            self._failing[place.topic].discard(place.partition)

    async def _look(self, client: Any, places: Collection[TopicPartition], topics_only: bool) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(SILENCE_S):
                # A coordinator that does not know a topic is asked again and again, and nobody looks for the topic.
                await client.force_metadata_update()
        for place in places:
            reason = _reason(client.cluster, place)
            if reason or not topics_only:
                self.failed(place, reason or f"no answer for {SILENCE_S:g} s")


def _note(error: BaseException) -> None:
    logger.error("why a topic takes no outputs could not be learnt: %r", error)


def _reason(cluster: Any, place: TopicPartition) -> str:
    partitions = cluster.partitions_for_topic(place.topic)
    if partitions is None:
        return "the broker knows no such topic"
    if place.partition not in partitions:
        return f"it has no partition {place.partition} any more; start the worker again if that is to stay"
    if cluster.leader_for_partition(place) in (None, NO_LEADER):
        return f"partition {place.partition} has no leader"
    return ""
