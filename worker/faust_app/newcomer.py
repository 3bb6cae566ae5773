"""Whether Kafka answers a client that starts now, while it does not answer this worker.

A broker that is away comes back by itself, and starting the worker again would not help. Where others are answered it
would: then liveness has to know.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Collection

from aiokafka.errors import KafkaError
from aiokafka.structs import TopicPartition as KafkaPartition

from worker.clock import Clock
from worker.consumers import kafka_consumer
from worker.errors import WorkerError
from worker.pipeline.progress import Progress
from worker.records import TopicPartition
from worker.security import client_options
from worker.settings import Settings
from worker.tasks import OnFailure, owned

INTERVAL_S = 10.0
PATIENCE_S = 15.0

Ask = Callable[[Collection[TopicPartition]], Awaitable[bool]]


class Newcomer:
    """Compares now and then, for as long as this worker has no answer."""

    def __init__(self, ask: Ask, progress: Progress, clock: Clock, on_failure: OnFailure) -> None:
        self._ask = ask
        self._on_failure = on_failure
        self._progress = progress
        self._clock = clock
        self._next_at: float | None = None
        self._asking: asyncio.Task[None] | None = None

    def compare(self, partitions: Collection[TopicPartition]) -> None:
        """This worker has just got no answer about `partitions`. Takes no time: somebody else asks."""
        now = self._clock.monotonic()
        if self._next_at is None:
            self._next_at = now + INTERVAL_S
        if now >= self._next_at and (self._asking is None or self._asking.done()):
            self._next_at = now + INTERVAL_S
            self._asking = owned(self._compare(partitions), "ask as a newcomer", self._on_failure, ends=True)

    def answered(self) -> None:
        """This worker is answered."""
        self._next_at = None
        if self._asking is not None:
            self._asking.cancel()
            self._asking = None
        self._progress.let_in()

    async def _compare(self, partitions: Collection[TopicPartition]) -> None:
        if await self._ask(partitions):
            self._progress.shut_out(self._clock.monotonic())
        else:
            self._progress.let_in()


async def newcomer_is_answered(settings: Settings, partitions: Collection[TopicPartition]) -> bool:
    """Whether a client that starts now is told how far `partitions` go."""
    consumer = kafka_consumer(**client_options(settings))
    try:
        async with asyncio.timeout(PATIENCE_S):
            await consumer.start()
            await consumer.end_offsets([KafkaPartition(*partition) for partition in partitions])
    except (KafkaError, OSError, TimeoutError, WorkerError):
        return False
    else:
        return True
    finally:
        with contextlib.suppress(KafkaError, OSError, TimeoutError):
            async with asyncio.timeout(PATIENCE_S):
                await consumer.stop()
