"""Whether what is fetched is still of the topic that the assignment began with, and what happens when it is not."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import time
from collections.abc import Callable, Collection, Mapping
from typing import Any

from aiokafka.errors import KafkaError
from aiokafka.structs import TopicPartition as KafkaPartition
from faust.transport.drivers.aiokafka import ensure_aiokafka_TP
from faust.types import TP

from worker.faust_app.committed import committed_offsets
from worker.faust_app.start_offsets import Starts
from worker.faust_app.topic_ids import Question, TopicIds

logger = logging.getLogger(__name__)

LOOK_TIMEOUT_S = 2.0
LOOK_INTERVAL_S = 0.1
"""How long a broker's answer counts, for all partitions of the topic that it leads: a request for each fetch would cost
as much as the fetch of a single event. Nobody creates a topic anew and fills it beyond an old position that fast."""
RETRY_PAUSE_S = 0.5
OTHER_PAUSE_S = 0.1


class SameTopic:
    """Looks at the topics of one consumer that is started. For its event loop."""

    def __init__(
        self, consumer: Any, topic_ids: TopicIds, starts: Starts, ends: Callable[[], Mapping[TP, int]]
    ) -> None:
        self._consumer = consumer
        self._topic_ids = topic_ids
        self._starts = starts
        self._ends = ends
        self._looked_at: dict[tuple[Question, str], float] = {}
        """When a broker that has answered with this id of its topic was asked."""

    async def others_among(self, fetched: Collection[TP]) -> Collection[TP]:
        """Those of what was fetched whose records are, or may be, of another topic than the assignment began with."""
        try:
            due = [each for each in map(ensure_aiokafka_TP, fetched) if self._is_due(each)]
            if not due and not self._topic_ids.is_mixed():
                return ()
            others = await self.look(due)
        except (KafkaError, TimeoutError) as error:
            logger.debug("whether the topic is still the same cannot be learnt now: %r", error)
            await asyncio.sleep(RETRY_PAUSE_S)
            return fetched
        if others or self._topic_ids.is_mixed():
            # Until the group shares the partitions out anew, or a broker that is behind has learnt of the new topic.
            await asyncio.sleep(OTHER_PAUSE_S)
        return fetched if self._topic_ids.is_mixed() else {TP(*each) for each in others}

    def _is_due(self, partition: KafkaPartition) -> bool:
        """Whether its leader has not been asked about the topic for a while. Raises KafkaError."""
        question = self._topic_ids.question(partition)
        looked_at = self._looked_at.get((question, self._topic_ids.known(partition.topic)), -math.inf)
        return time.monotonic() - looked_at > LOOK_INTERVAL_S

    async def look(self, partitions: Collection[KafkaPartition]) -> Collection[KafkaPartition]:
        """See `TopicIds.look`. Where a topic was made anew the group begins anew too, at the topic's beginning.

        Raises KafkaError, and TimeoutError soon: others wait.
        """
        was_mixed = self._topic_ids.is_mixed()
        # Not the time of the answers: whoever is frozen while they are on their way reads old ones.
        asked = dict.fromkeys(map(self._topic_ids.question, partitions), time.monotonic())
        async with asyncio.timeout(LOOK_TIMEOUT_S):
            others = await self._topic_ids.look(partitions)
        for other in others:
            asked.pop(self._topic_ids.question(other), None)
        self._looked_at.update({(each, self._topic_ids.known(each[1])): at for each, at in asked.items()})
        if self._topic_ids.is_mixed() and not was_mixed:
            self._tell()
            assigned = self._consumer.assignment()
            with contextlib.suppress(KafkaError, TimeoutError):  # the next assignment does so too
                async with asyncio.timeout(LOOK_TIMEOUT_S):
                    await self._starts.begin_anew(assigned, await committed_offsets(self._consumer, assigned))
            self._consumer._coordinator.request_rejoin()
        return others

    def _tell(self) -> None:
        for topic, before in self._topic_ids.made_anew.items():
            read = ", ".join(
                f"{tp.partition} to {end}" for tp, end in sorted(self._ends().items()) if tp.topic == topic
            )
            logger.error(
                "%s was deleted and created anew (topic id %s, now %s): it is read from its beginning; of the topic"
                " before, partitions were read: %s",
                topic,
                before,
                self._topic_ids.known(topic),
                read or "none",
            )
