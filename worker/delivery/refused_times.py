"""What is known of the times that a topic refuses: enough not to send each record that is sure to be refused."""

from __future__ import annotations

from worker.clock import Clock

BELIEVED_S = 60.0
"""Somebody may change the topic, so what it refused is tried again after so long."""
LEAST_DISTANCE_MS = 30 * 60 * 1000.0
"""Nearer to now, the clocks of worker and broker may disagree on which side of now a time is."""


class RefusedTimes:
    """Of one topic. Its limits are distances from now (``message.timestamp.before.max.ms`` and ``after.max.ms``).

    So what is further away, on the same side, than a time that was refused is refused as well.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._believed_until = float("-inf")
        self._age_ms = self._ahead_ms = float("inf")

    def note(self, timestamp_ms: int) -> None:
        """A record with this time, and nothing else, was refused for it."""
        if not self.known:
            self._age_ms = self._ahead_ms = float("inf")
        age_ms = self._age(timestamp_ms)
        if age_ms >= LEAST_DISTANCE_MS:
            self._age_ms = min(self._age_ms, age_ms)
        elif -age_ms >= LEAST_DISTANCE_MS:
            self._ahead_ms = min(self._ahead_ms, -age_ms)
        else:
            return
        self._believed_until = self._clock.monotonic() + BELIEVED_S

    def hold(self, timestamp_ms: int) -> bool:
        """Whether a record with this time is sure to be refused."""
        if not self.known or timestamp_ms < 0:
            return False
        age_ms = self._age(timestamp_ms)
        return age_ms >= self._age_ms or -age_ms >= self._ahead_ms

    @property
    def known(self) -> bool:
        """Whether `hold` may answer True."""
        return self._clock.monotonic() < self._believed_until

    def _age(self, timestamp_ms: int) -> float:
        return self._clock.wall() * 1000 - timestamp_ms
