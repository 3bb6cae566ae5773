"""Notices partitions that were added to the topic, in a group of static members.

The leader of a group watches its topics, and joins again when one of them has grown. A leader that is restarted as a
static member is still the leader for the broker, but is told so only with JoinGroup 9 (KIP-814); aiokafka 0.14 sends
version 5, takes itself for a follower, and nobody watches any more. So each static member compares what exists with
what the members have. Joining again is enough: when the one that the broker takes for the leader does, all share out
anew.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import Any

from aiokafka.errors import KafkaError

from worker.kafka.compat.group_description import describe_group
from worker.records import TopicPartition

logger = logging.getLogger(__name__)

LOOK_INTERVAL_S = 1.0
ASK_INTERVAL_S = 5.0


class AddedPartitions:
    """Watches for one consumer that is started. For the consumer's event loop; looks at aiokafka's coordinator."""

    def __init__(self, consumer: Any) -> None:
        self._coordinator = consumer._coordinator
        self._looked_at: tuple[int, int] | None = None
        """Generation and number of partitions that need no further look."""

    async def watch(self) -> None:
        """Look until cancelled. Asks the broker once for each assignment and each change of the topic."""
        while True:
            await asyncio.sleep(LOOK_INTERVAL_S)
            now = (self._coordinator.generation, len(self._existing()))
            if now != self._looked_at and self._settled():
                with contextlib.suppress(KafkaError):
                    await self._look(now)
                await asyncio.sleep(ASK_INTERVAL_S)

    async def _look(self, now: tuple[int, int]) -> None:
        group = await describe_group(self._coordinator)
        if not group.is_stable or now[0] != self._coordinator.generation:
            return
        self._looked_at = now
        missing = self._existing().difference(*group.members.values())
        if missing:
            logger.info("%d partitions were added and nobody has them: joining the group again", len(missing))
            self._coordinator.request_rejoin()

    def _existing(self) -> set[TopicPartition]:
        """All partitions of the topics, as far as the client's metadata go."""
        cluster = self._coordinator._cluster
        return {
            TopicPartition(topic, number)
            for topic in self._coordinator._subscription.topics
            for number in cluster.partitions_for_topic(topic) or ()
        }

    def _settled(self) -> bool:
        subscription = self._coordinator._subscription.subscription
        return subscription is not None and not self._coordinator.need_rejoin(subscription)
