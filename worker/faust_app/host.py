"""What the transport needs of the worker that it belongs to."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from worker.records import TopicPartition


class Membership(Protocol):
    """Who wants to know about assignments. Called on the worker's event loop."""

    async def revoked(self) -> dict[TopicPartition, int]:
        """The assignment ends; answers the offsets to store. Must be quick: the group waits."""

    def closed(self) -> None:
        """The assignment has ended."""

    async def take_over(self, partitions: Collection[TopicPartition]) -> None:
        """Make sure that nobody else publishes what comes of `partitions` any more. Takes as long as it needs."""

    def assigned(self, generation: int, start_offsets: Mapping[TopicPartition, int | None]) -> None:
        """A new assignment; `start_offsets` are the committed next offsets."""

    def failed(self, error: BaseException) -> None:
        """There will be no further assignment, or something of the transport has ended."""


@dataclass(frozen=True)
class Host:
    """Given to the transport by the app that it belongs to."""

    membership: Membership
    read_committed: bool
    from_beginning: bool
    exactly_once: bool
    max_taken_bytes: int
    """Of one fetch, in memory."""
    client_options: Mapping[str, Any]
    """How Kafka is connected to; see `worker.security`."""
    skip_command: str
    """With a position behind it, lets the group go on behind a damaged batch."""
    worker_loop: asyncio.AbstractEventLoop
    """The event loop that the pipeline runs on."""

    def failed(self, error: BaseException) -> None:
        """Let the membership know of what ends the worker; from any thread."""
        self.worker_loop.call_soon_threadsafe(self.membership.failed, error)
