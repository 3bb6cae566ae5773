"""The offsets that the group has stored in one assignment: one commit at a time, and never lower than they are."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Mapping
from typing import Any

from aiokafka.errors import (
    CommitFailedError,
    IllegalGenerationError,
    IllegalStateError,
    KafkaError,
    RebalanceInProgressError,
    UnknownMemberIdError,
)
from aiokafka.structs import OffsetAndMetadata
from aiokafka.structs import TopicPartition as KafkaPartition

from worker.delivery.offset_metadata import OffsetMetadata
from worker.errors import BrokerError
from worker.records import TopicPartition

logger = logging.getLogger(__name__)

ANSWER_TIMEOUT_S = 10.0
STALE = (CommitFailedError, IllegalGenerationError, IllegalStateError, RebalanceInProgressError, UnknownMemberIdError)
"""What the broker, or aiokafka, answers where the assignment is over."""


class StoredOffsets:
    """Belongs to the event loop of the consumer."""

    def __init__(self, consumer: Callable[[], Any], metadata: Callable[[TopicPartition], OffsetMetadata]) -> None:
        self._consumer = consumer
        self._metadata = metadata
        self._turn = asyncio.Lock()
        self._committing: asyncio.Task[None] | None = None
        self.offsets: dict[TopicPartition, int] = {}
        """By partition; empty at the beginning of an assignment."""

    async def store(self, offsets: Mapping[TopicPartition, int], is_ours: Callable[[], bool]) -> bool:
        """Store next offsets; False when they are not ours to store any more. Raises BrokerError where it failed."""
        async with self._turn:
            if not is_ours():
                return False
            fresh = {
                KafkaPartition(*partition): OffsetAndMetadata(offset, str(self._metadata(partition)))
                for partition, offset in offsets.items()
                if offset > self.offsets.get(partition, -1)
            }
            if not fresh:
                return True
            try:
                await self._commit(fresh)
            except STALE as error:
                logger.debug("commit refused, the assignment is over: %s", error)
                return False
            except KafkaError as error:
                raise BrokerError(str(error) or type(error).__name__) from error
            self.offsets.update(offsets)
            return True

    async def _commit(self, offsets: Mapping[KafkaPartition, OffsetAndMetadata]) -> None:
        """aiokafka waits for a coordinator for ever: what it has begun goes on, unwatched, and is waited for first."""
        if self._committing is not None:
            with contextlib.suppress(KafkaError):
                await self._answered(self._committing)
        self._committing = asyncio.create_task(self._consumer().commit(offsets))
        self._committing.add_done_callback(lambda commit: commit.cancelled() or commit.exception())  # who waits may go
        await self._answered(self._committing)

    async def _answered(self, commit: asyncio.Task[None]) -> None:
        await asyncio.wait({commit}, timeout=ANSWER_TIMEOUT_S)
        if not commit.done():
            raise BrokerError(f"no answer for {ANSWER_TIMEOUT_S:g} s")
        self._committing = None
        commit.result()
