"""How long the lag will take: a worker's own measure of whether there are enough of it."""

from __future__ import annotations

import math
from collections.abc import Mapping

from worker.records import TopicPartition

PACE_WINDOW_S = 60.0
"""What lies back so long has a weight of 1/e in the pace."""
LONGEST_S = 7 * 24 * 3600.0
"""Stands for "never at this pace": whoever scales by the number gets a number."""


class DrainTime:
    """Lag divided by pace. Pure: the time is passed in, in monotonic seconds.

    Lag and pace are both counted in offsets. The pace is that of times in which there was enough to do: what a
    worker with nothing to do completes says nothing of what it could.
    """

    def __init__(self) -> None:
        self._pace: float | None = None
        self._looked_at = 0.0
        self._committed: dict[TopicPartition, int] = {}

    def after(self, now: float, committed: Mapping[TopicPartition, int], lag: int) -> float:
        """Seconds for `lag` records, the group having stored `committed` next offsets (0 where it has stored none).

        Ask it at regular times. Answers 0 while nothing was completed yet, and `LONGEST_S` at most.
        """
        before, elapsed = self._committed, now - self._looked_at
        self._committed, self._looked_at = dict(committed), now
        if before.keys() == committed.keys() and elapsed > 0:
            self._learn(sum(committed[at] - offset for at, offset in before.items() if offset), elapsed, lag)
        if not lag or self._pace is None:
            return 0.0
        return LONGEST_S if self._pace * LONGEST_S <= lag else lag / self._pace

    def interrupted(self) -> None:
        """Nothing could be completed for a while, and not for want of pace: that time does not count."""
        self._committed = {}

    def _learn(self, completed: int, elapsed: float, lag: int) -> None:
        pace = completed / elapsed
        if self._pace is None:
            self._pace = pace or None
        elif lag > 2 * completed or pace > self._pace:
            self._pace += (pace - self._pace) * -math.expm1(-elapsed / PACE_WINDOW_S)
