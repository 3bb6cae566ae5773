"""The way to a `FakeBroker`: the publisher that the collector is given in tests."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from fakes.broker import FakeBroker, batch_bytes
from worker.records import OutputRecord, TopicPartition

DEFAULT_GROUP_BYTES = 512 * 1024


class FakePublisher:
    """Implements `worker.delivery.collector.Publisher`.

    While the broker is away it waits. `hold` keeps everything from being stored, `hold_acknowledgements` lets it be
    stored but not acknowledged; `fail` makes the next batch raise.
    """

    def __init__(self, broker: FakeBroker, *, max_group_bytes: int = DEFAULT_GROUP_BYTES) -> None:
        self._broker = broker
        self._max_group_bytes = max_group_bytes
        self._open = asyncio.Event()
        self._open.set()
        self._acknowledging = asyncio.Event()
        self._acknowledging.set()
        self._error: Exception | None = None
        self.group_sizes: list[int] = []
        """Records in each batch that was stored."""

    async def publish(
        self,
        topic: str,
        partition: int,
        records: Sequence[OutputRecord],
        abandoned: Callable[[], bool] = lambda: False,
    ) -> int:
        """See `worker.delivery.collector.Publisher`."""
        await self._open.wait()
        await self._broker.until_back()
        if self._error is not None:
            error, self._error = self._error, None
            raise error
        group = self._first_group(records)
        self._broker.append_batch(TopicPartition(topic, partition), group)
        self.group_sizes.append(len(group))
        await self._acknowledging.wait()
        return len(group)

    def hold(self) -> None:
        """Store nothing until `release`."""
        self._open.clear()

    def hold_acknowledgements(self) -> None:
        """Store, but do not say so until `release`: what a lost answer looks like."""
        self._acknowledging.clear()

    def release(self) -> None:
        """Go on with whatever is held."""
        self._open.set()
        self._acknowledging.set()

    def fail(self, error: Exception) -> None:
        """Let the next batch raise `error`."""
        self._error = error

    def _first_group(self, records: Sequence[OutputRecord]) -> Sequence[OutputRecord]:
        count = 1
        while count < len(records) and batch_bytes(records[: count + 1]) <= self._max_group_bytes:
            count += 1
        return records[:count]
