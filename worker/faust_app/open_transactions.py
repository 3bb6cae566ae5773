"""Transactions of producers upstream that stay open: whatever lies behind their beginning must wait."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import NamedTuple

from worker.faust_app.standing import Standing
from worker.metrics import Metrics
from worker.records import TopicPartition

logger = logging.getLogger(__name__)


class _Open(NamedTuple):
    begins: int
    since: float
    told: bool = False


class OpenTransactions:
    """Says once that one is open for long, and once that it has ended. The time is passed in, in monotonic seconds.

    How old one is nobody but its coordinator knows: it is as old as this worker has seen it, at least.
    """

    def __init__(self, patience_s: float, metrics: Metrics) -> None:
        self._patience_s = patience_s
        self._metrics = metrics
        self._open: dict[TopicPartition, _Open] = {}

    def look(self, now: float, standing: Mapping[TopicPartition, Standing]) -> None:
        """The partitions of the assignment, as they stand now."""
        for partition in self._open.keys() - standing.keys():
            del self._open[partition]
        for partition, at in standing.items():
            end, begins = at.end, at.open_from
            seen = self._open.get(partition)
            if seen is not None and seen.begins != begins:
                self._ended(partition, self._open.pop(partition))
                seen = None
            age_s = 0.0
            if begins is not None:
                seen = self._open.setdefault(partition, seen or _Open(begins, now))
                age_s = now - seen.since
                if age_s > self._patience_s and not seen.told:
                    self._open[partition] = seen._replace(told=True)
                    self._tell(partition, begins, age_s, end - begins)
            self._metrics.open_transaction_seconds.labels(str(partition.partition)).set(age_s)

    def _tell(self, partition: TopicPartition, begins: int, age_s: float, waiting: int) -> None:
        logger.warning(
            "a transaction in %s/%d that begins at offset %d has been open for %.0f s or longer, and %d records wait"
            " for its end; kafka-transactions.sh --bootstrap-server BROKER describe-producers --topic %s"
            " --partition %d says whose it is",
            partition.topic,
            partition.partition,
            begins,
            age_s,
            waiting,
            partition.topic,
            partition.partition,
        )

    def _ended(self, partition: TopicPartition, was: _Open) -> None:
        if was.told:
            logger.info("the transaction in %s/%d from offset %d has ended", *partition, was.begins)
