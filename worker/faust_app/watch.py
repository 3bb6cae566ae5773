"""Watches whether the worker moves, and what its health end points answer."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import Protocol

from aiokafka.errors import IllegalStateError, KafkaError

from worker.clock import Clock
from worker.delivery.dead_letter_log import DeadLetterLog
from worker.faust_app.newcomer import Ask, Newcomer
from worker.faust_app.open_transactions import OpenTransactions
from worker.faust_app.standing import MissingTopicError, Standing
from worker.faust_app.totals import Totals
from worker.logs import StateLog
from worker.metrics import Metrics
from worker.pipeline.drain_time import DrainTime
from worker.pipeline.progress import Progress
from worker.pipeline.stream_task import StreamTask
from worker.records import TopicPartition
from worker.security import recent_failure
from worker.tasks import OnFailure

logger = logging.getLogger(__name__)

WATCH_INTERVAL_S = 1.0


class Source(Protocol):
    """Who knows how far the partitions are read."""

    async def standing(self) -> dict[TopicPartition, Standing]: ...


class Watch:
    """Asks the broker how far there is to go, and says once when a standstill begins and once when it ends.

    `source` answers None as long as the worker has not joined its group.
    """

    def __init__(
        self,
        *,
        source: Callable[[], Source | None],
        task: Callable[[], StreamTask | None],
        progress: Progress,
        broker: StateLog,
        clock: Clock,
        metrics: Metrics,
        newcomer: Ask,
        stacks: Callable[[], str],
        on_failure: OnFailure,
        totals: Totals,
        letters: DeadLetterLog,
        topic: StateLog,
        transaction_patience_s: float,
    ) -> None:
        self._source = source
        self._task = task
        self._progress = progress
        self._broker = broker
        self._clock = clock
        self._metrics = metrics
        self._stacks = stacks
        self._totals = totals
        self._letters = letters
        self._stalled: str | None = None
        self._drain_time = DrainTime()
        self._damaged: set[TopicPartition] = set()
        self._newcomer = Newcomer(newcomer, progress, clock, on_failure)
        self._topic = topic
        self._transactions = OpenTransactions(transaction_patience_s, metrics)

    async def run(self) -> None:
        """Look every second, until cancelled."""
        while True:
            await asyncio.sleep(WATCH_INTERVAL_S)
            await self.look()

    async def look(self) -> None:
        """Look once."""
        await self._look_at_lag(self._task())
        self._totals.look()
        self._letters.look()
        problem = self._progress.problem(self._clock.monotonic())
        if problem and not self._stalled:
            logger.error("no progress: %s; /healthz fails until this changes", problem)
            logger.error("where everything stands:\n%s", self._stacks())
        if self._stalled and not problem:
            logger.info("progress again")
        self._stalled = problem

    async def _look_at_lag(self, task: StreamTask | None) -> None:
        """Standing still is right where there is nothing to do, or no broker to ask."""
        source = self._source()
        if source is None:
            return  # still starting
        try:
            standing = await source.standing()
        except TimeoutError:
            return  # neither the consumer's thread nor the broker says anything: the watchdog's time runs on
        except IllegalStateError:
            return  # the assignment ended while the broker was asked
        except MissingTopicError:
            self._answered()
            self._topic.away("the broker knows no such topic", "nothing is read until it is created again")
            self._nothing_to_do()
            self._metrics.topic_missing.set(1)
            self._metrics.lag.clear()
            self._metrics.lag_in_transactions.clear()
            return
        except KafkaError as error:
            self._broker.away(recent_failure() or type(error).__name__, "nothing is lost, work goes on when it is back")
            self._metrics.broker_up.set(0)
            self._nothing_to_do()
            self._newcomer.compare(task.partitions if task else ())
            return
        self._answered()
        self._topic.back()
        self._metrics.topic_missing.set(0)
        if task is not None and not task.closed:
            self._report_lag(task, standing)

    def _answered(self) -> None:
        self._newcomer.answered()
        self._broker.back()
        self._metrics.broker_up.set(1)

    def _nothing_to_do(self) -> None:
        self._drain_time.interrupted()
        self._progress.caught_up(self._clock.monotonic())

    def _report_lag(self, task: StreamTask, standing: Mapping[TopicPartition, Standing]) -> None:
        waiting, lag, committed_offsets = task.in_flight, 0, {}
        for partition, at in standing.items():
            submitted_until, committed = task.position(partition) or 0, task.committed(partition)
            # What was handed over and never arrived counts too: Faust may lose a chunk on its way.
            unread, lost = max(0, at.readable - at.position), max(0, (at.delivered_until or 0) - submitted_until)
            # What lies behind damage waits for a person: neither a new process nor more of them would help.
            waiting += lost if at.damaged is not None else unread + lost
            # Where all is read and stored, nothing but transaction markers can lie between there and the position.
            done = not unread and not lost and committed >= submitted_until
            behind = max(0, at.end - (max(committed, at.position) if done else committed))
            held = at.end - at.readable
            self._metrics.lag.labels(str(partition.partition)).set(behind)
            self._metrics.lag_in_transactions.labels(str(partition.partition)).set(held)
            self._report_damage(partition, at.damaged)
            lag += max(0, behind - held) if at.damaged is None else 0
            committed_offsets[partition] = committed
        now = self._clock.monotonic()
        self._transactions.look(now, standing)
        self._metrics.drain_seconds.set(self._drain_time.after(now, committed_offsets, lag))
        self._totals.stand(waiting + sum(at.end - at.readable for at in standing.values()))
        if not waiting:
            self._progress.caught_up(now)

    def _report_damage(self, partition: TopicPartition, offset: int | None) -> None:
        if offset is not None:
            self._damaged.add(partition)
            self._metrics.damaged_offset.labels(str(partition.partition)).set(offset)
        elif partition in self._damaged:
            self._damaged.remove(partition)
            self._metrics.damaged_offset.remove(str(partition.partition))
