"""The partitions of an assignment that cannot be read any further: they wait, the others go on.

Damage may be that of one replica, or of one moment. So a partition is tried again now and then, for as long as it is
assigned.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from dataclasses import dataclass
from typing import Any

from aiokafka.errors import IllegalStateError
from aiokafka.structs import TopicPartition as KafkaPartition

from worker.errors import DamagedBatchError
from worker.faust_app.standing import Standing
from worker.records import TopicPartition

logger = logging.getLogger(__name__)

FIRST_RETRY_S = 2.0
LONGEST_RETRY_S = 60.0
TOLD_AGAIN_S = 900.0


@dataclass
class _Damage:
    offset: int
    told_at: float
    pause_s: float = FIRST_RETRY_S
    retry: asyncio.TimerHandle | None = None


class DamagedPartitions:
    """Pauses them, says so, and tries again. Belongs to the event loop of `consumer`."""

    def __init__(self, consumer: Any, skip_command: str) -> None:
        self._consumer = consumer
        self._skip_command = skip_command
        self._damaged: dict[KafkaPartition, _Damage] = {}

    def found(self, error: DamagedBatchError) -> None:
        """A partition cannot be read from an offset on."""
        partition = KafkaPartition(error.topic, error.partition)
        loop = asyncio.get_running_loop()
        damage = self._damaged.get(partition)
        if damage is None or damage.offset != error.offset:
            self._let_go(partition)
            damage = self._damaged[partition] = _Damage(error.offset, loop.time())
            self._tell(error)
        elif loop.time() - damage.told_at > TOLD_AGAIN_S:
            damage.told_at = loop.time()
            self._tell(error)
        if damage.retry is not None:
            damage.retry.cancel()
        with contextlib.suppress(IllegalStateError):  # no longer ours
            self._consumer.pause(partition)
        damage.retry = loop.call_later(damage.pause_s, self._try_again, partition)
        damage.pause_s = min(2 * damage.pause_s, LONGEST_RETRY_S)

    def read(self, partition: KafkaPartition, until: int) -> None:
        """Records of `partition` up to the next offset `until` have been read."""
        damage = self._damaged.get(partition)
        if damage is not None and until > damage.offset:
            logger.info("%s/%d can be read again at offset %d", partition.topic, partition.partition, damage.offset)
            self._let_go(partition)

    def seen_in(self, standing: dict[TopicPartition, Standing]) -> dict[TopicPartition, Standing]:
        """The same with what is damaged."""
        damaged = {TopicPartition(*place): damage.offset for place, damage in self._damaged.items()}
        return {place: each._replace(damaged=damaged.get(place)) for place, each in standing.items()}

    def clear(self) -> None:
        """The assignment is over."""
        for partition in list(self._damaged):
            self._let_go(partition)

    def _try_again(self, partition: KafkaPartition) -> None:
        with contextlib.suppress(IllegalStateError):
            self._consumer.resume(partition)

    def _let_go(self, partition: KafkaPartition) -> None:
        damage = self._damaged.pop(partition, None)
        if damage is not None and damage.retry is not None:
            damage.retry.cancel()
            self._try_again(partition)

    def _tell(self, error: DamagedBatchError) -> None:
        logger.error(
            "%s; this partition waits and is tried again, the others go on. If it stays so: stop the workers of the"
            " group and run `%s %s/%d/%d`",
            error,
            self._skip_command,
            error.topic,
            error.partition,
            error.offset,
        )
