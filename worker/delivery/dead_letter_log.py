"""What the log says of dead letters: how many, why, and where one of them is. Never what is in them."""

from __future__ import annotations

import logging

from worker.clock import Clock
from worker.errors import Reason

logger = logging.getLogger(__name__)

INTERVAL_S = 60.0


class DeadLetterLog:
    """One WARNING for each reason and minute. For one event loop, where somebody looks every second."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._waiting: dict[Reason, tuple[int, str]] = {}
        """How many since the last line, and the position of the first of them."""
        self._said_at: dict[Reason, float] = {}

    def add(self, reason: Reason, position: str) -> None:
        """The dead letter of the event at `position` is acknowledged."""
        count, first = self._waiting.get(reason, (0, position))
        self._waiting[reason] = (count + 1, first)

    def look(self) -> None:
        """Say what has come, of the reasons that nothing was said of for a minute."""
        now = self._clock.monotonic()
        for reason in list(self._waiting):
            if now - self._said_at.get(reason, float("-inf")) >= INTERVAL_S:
                self._said_at[reason] = now
                self._say(reason)

    def end(self) -> None:
        """Say what is left."""
        for reason in list(self._waiting):
            self._say(reason)

    def _say(self, reason: Reason) -> None:
        count, position = self._waiting.pop(reason)
        logger.warning("dead letters", extra={"reason": reason.value, "count": count, "first": position})
