"""The only place that holds the source back: bounds on what is in flight, in reviews and in bytes."""

from __future__ import annotations

import asyncio

from worker.observability.metrics import Metrics


class FlowControl:
    """Counts what is in flight and lets intake wait while it is too much. For one event loop."""

    def __init__(self, max_reviews: int, max_bytes: int, metrics: Metrics) -> None:
        self._max_reviews = max_reviews
        self._max_bytes = max_bytes
        self._metrics = metrics
        self._room = asyncio.Event()
        self._room.set()
        self.reviews = 0
        self.bytes = 0

    def fits(self, reviews: int, size_bytes: int) -> bool:
        """Whether so much more stays within the bounds. Something always fits when nothing is in flight."""
        if self.reviews == 0:
            return True
        return self.reviews + reviews <= self._max_reviews and self.bytes + size_bytes <= self._max_bytes

    async def wait_for_room(self, reviews: int, size_bytes: int) -> None:
        """Wait until so much fits. Several may wait; each has to ask `fits` again before it goes on."""
        while not self.fits(reviews, size_bytes):
            self._metrics.paused.set(1)
            self._room.clear()
            await self._room.wait()
        self._metrics.paused.set(0)

    def add(self, reviews: int, size_bytes: int) -> None:
        """Count what was submitted."""
        self.reviews += reviews
        self.bytes += size_bytes
        self._changed()

    def remove(self, reviews: int, size_bytes: int) -> None:
        """Count what was completed or dropped, and wake who waits for room."""
        self.reviews -= reviews
        self.bytes -= size_bytes
        self._changed()
        self._room.set()

    def _changed(self) -> None:
        self._metrics.in_flight_reviews.set(self.reviews)
        self._metrics.in_flight_bytes.set(self.bytes)
