"""How much may be on its way to the broker at once: a batch is in memory several times before it is acknowledged."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

MAX_PUBLISHING_BYTES = 8 * 1024 * 1024
LATE_S = 1.0
"""What a broker has not acknowledged for so long keeps no others waiting: theirs may be well."""


class PublishingRoom:
    """Lets groups of records through one by one, in the order in which they ask, as long as they fit."""

    def __init__(self, most_bytes: int = MAX_PUBLISHING_BYTES, late_s: float = LATE_S) -> None:
        self._most_bytes = most_bytes
        self._late_s = late_s
        self._turn = asyncio.Lock()
        self._left = asyncio.Event()
        self._taken_bytes = 0

    @asynccontextmanager
    async def taken(self, size_bytes: int) -> AsyncIterator[None]:
        """Wait for room, which something of any size has when nothing is on its way, and have it while within."""
        async with self._turn:
            while self._taken_bytes and self._taken_bytes + size_bytes > self._most_bytes:
                self._left.clear()
                await self._left.wait()
            self._taken_bytes += size_bytes
        held = _Held(self, size_bytes)
        late = asyncio.get_running_loop().call_later(self._late_s, held.give_back)
        try:
            yield
        finally:
            late.cancel()
            held.give_back()

    def leave(self, size_bytes: int) -> None:
        """So much is free again."""
        self._taken_bytes -= size_bytes
        self._left.set()


class _Held:
    """What one group has of the room, until it is given back, once."""

    def __init__(self, room: PublishingRoom, size_bytes: int) -> None:
        self._room = room
        self._size_bytes = size_bytes

    def give_back(self) -> None:
        self._room.leave(self._size_bytes)
        self._size_bytes = 0
