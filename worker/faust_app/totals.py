"""A line of totals in the log while there is work, and one at the end."""

from __future__ import annotations

import logging

from prometheus_client.metrics import MetricWrapperBase

from worker.clock import Clock
from worker.metrics import Metrics

logger = logging.getLogger(__name__)


class Totals:
    """Reads the worker's metrics. For one event loop, where somebody looks every second."""

    def __init__(self, metrics: Metrics, interval_s: float, clock: Clock) -> None:
        """`interval_s` 0: only at the end."""
        self._metrics = metrics
        self._interval_s = interval_s
        self._clock = clock
        self._began_at = self._said_at = clock.monotonic()
        self._settled_then = 0
        self._unsettled: int | None = None
        self._settled_at_stand = 0

    def stand(self, unsettled: int) -> None:
        """So many records of the assignment have neither an output nor a dead letter."""
        self._unsettled, self._settled_at_stand = unsettled, self._settled()

    def look(self) -> None:
        """Say how far it is, when the interval is over and something was done or is to be done."""
        now = self._clock.monotonic()
        if not self._interval_s or now - self._said_at < self._interval_s:
            return
        settled = self._settled()
        lag = round(_sum(self._metrics.lag))
        if settled != self._settled_then or lag:
            self._say("so far", (settled - self._settled_then) / (now - self._said_at), lag)
        self._said_at, self._settled_then = now, settled

    def end(self) -> None:
        """Say what the whole run was.

        The broker is not asked any more: the lag is what was left at the last look, and left out where there was none.
        """
        settled = self._settled()
        known = self._unsettled
        left = None if known is None else max(0, known - (settled - self._settled_at_stand))
        self._say("in all", settled / max(1e-9, self._clock.monotonic() - self._began_at), left)

    def _settled(self) -> int:
        return self._out() + round(_sum(self._metrics.dead_letters))

    def _out(self) -> int:
        return round(_sum(self._metrics.events_out) + _sum(self._metrics.tombstones))

    def _say(self, when: str, rate: float, lag: int | None) -> None:
        figures = {
            "in": round(_sum(self._metrics.events_in)),
            "out": self._out(),
            "dead": round(_sum(self._metrics.dead_letters)),
            "rate": round(rate, 1),
            **({} if lag is None else {"lag": lag}),
        }
        logger.info("events %s", when, extra=figures)


def _sum(metric: MetricWrapperBase) -> float:
    """Over all its labels."""
    samples = (sample for family in metric.collect() for sample in family.samples)
    return sum(sample.value for sample in samples if not sample.name.endswith("_created"))
