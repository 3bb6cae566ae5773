"""The running worker: starts the real parts, sees the pipeline through its life, and stops them in order."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from typing import Any

from aiokafka.errors import KafkaConnectionError, KafkaError

from worker.clock import SystemClock
from worker.delivery.dead_letter_log import DeadLetterLog
from worker.delivery.kafka_transactions import KafkaTransactions
from worker.delivery.offset_metadata import OffsetMetadata
from worker.delivery.publisher import KafkaPublisher
from worker.delivery.transactions import transactional_id
from worker.errors import BrokerError, ExitCode, FatalError, UnreachableError
from worker.faust_app.app import FaustApp, build_app
from worker.faust_app.model import Model, load_model
from worker.faust_app.newcomer import newcomer_is_answered
from worker.faust_app.parts import Parts, Surroundings, build_pipeline, new_producer
from worker.faust_app.totals import Totals
from worker.faust_app.watch import Watch
from worker.faust_app.web import HealthServer
from worker.logs import StateLog
from worker.metrics import Metrics
from worker.pipeline.lifecycle import State
from worker.pipeline.pipeline import Pipeline
from worker.pipeline.progress import Progress
from worker.records import TopicPartition
from worker.security import as_worker_error, described, lacking, recent_failure
from worker.settings import Settings
from worker.topics import ensure_topics
from worker.tracing import Tracing, open_tracing

logger = logging.getLogger(__name__)

ModelLoader = Callable[[Settings, Metrics], Model]
REVOCATION_FLUSH_S = 3.0
LAST_COMMIT_S = 3.0
LAST_SPANS_S = 3.0
SWITCH_INTERVAL_S = 0.001
STOP_TIMEOUT_S = 10.0
MISSING = ("is missing", "has been missing", "is there again")


class WorkerService:
    """One worker process; `run` is its whole life. It is the pipeline's committer and the transport's membership."""

    def __init__(self, settings: Settings, *, load: ModelLoader = load_model) -> None:
        self._settings = settings
        self._load = load
        self._clock = SystemClock()
        self.metrics = Metrics()
        self.metrics.info.labels(
            version("reviews-worker"),
            settings.group,
            settings.input_topic,
            settings.output_topic,
            settings.dead_letter_topic,
            settings.processing_guarantee,
        ).set(1)
        self._progress = Progress(settings.stall_timeout_s, settings.rebalance_timeout_s)
        self._broker = StateLog(logger, f"Kafka at {settings.bootstrap_servers}")
        self._letters = DeadLetterLog(self._clock)
        self._totals = Totals(self.metrics, settings.totals_interval_s, self._clock)
        self._topic = StateLog(logger, f"topic {settings.input_topic}", words=MISSING)
        self._stop_requested = asyncio.Event()
        self._killed = threading.Event()
        self._model: Model | None = None
        self._parts: Parts | None = None
        self._app: FaustApp | None = None
        self._publisher: KafkaPublisher | None = None
        self._tracing: Tracing | None = None
        self.url = ""

    def request_stop(self) -> None:
        """Stop soon: finish what is in flight, publish, commit, leave."""
        self._stop_requested.set()

    async def run(self) -> ExitCode:
        """Run until told to stop or until something is fatal; raises FatalError."""
        if self._settings.tracing:
            self._tracing = open_tracing(self._settings.group, self._clock)
        server = HealthServer(
            self._settings.host,
            self._settings.port,
            metrics=self.metrics,
            alive=self._liveness_problems,
            ready=self._readiness_problems,
        )
        self.url = await server.start()
        logger.info("health and metrics on %s", self.url)
        try:
            if not await self._unless_stopped(asyncio.create_task(self._start())):
                return ExitCode.OK
            return await self._serve()
        finally:
            await self._stop_parts()
            await server.stop()

    # --- start ------------------------------------------------------------------------------------------------------

    async def _start(self) -> None:
        settings = self._settings
        loading = ThreadPoolExecutor(1, thread_name_prefix="load")
        try:
            self._model = await asyncio.get_running_loop().run_in_executor(loading, self._load, settings, self.metrics)
        finally:
            loading.shutdown(wait=False)
        logger.info("model %s is warm on %s", self._model.identity, self._model.provider)
        logger.info("connecting to Kafka at %s: %s", settings.bootstrap_servers, described(settings))
        layout = await ensure_topics(settings)
        self._publisher = KafkaPublisher(lambda: new_producer(settings), self.metrics)
        if not settings.exactly_once:
            await self._publisher.start()
        self.metrics.broker_up.set(1)
        around = Surroundings(
            self._clock,
            self.metrics,
            self._progress,
            self,
            self._killed.wait,
            self._new_transactions,
            self._rejoin,
            self._tracing,
            self._letters,
        )
        self._parts = build_pipeline(settings, self._model, layout, self._publisher, around)
        self._parts.pipeline.start()
        self._app = build_app(settings, self, self._parts.pipeline.intake)
        await self._join(self._parts.pipeline, self._app)
        logger.info("classifying %s into %s as group %s", settings.input_topic, settings.output_topic, settings.group)

    async def _join(self, pipeline: Pipeline[Any], app: FaustApp) -> None:
        """Start Faust, which waits for the first assignment; raises what says that there will be none."""
        starting = asyncio.create_task(app.start())
        try:
            await asyncio.wait((starting, pipeline.failed), return_when=asyncio.FIRST_COMPLETED)
            if pipeline.failed.done():
                raise pipeline.failed.result()
            await starting
        finally:
            starting.cancel()
            await asyncio.gather(starting, return_exceptions=True)

    async def _unless_stopped(self, task: asyncio.Task[None]) -> bool:
        """Wait for `task`; False when a stop was requested first (the task is cancelled then)."""
        stopping = asyncio.create_task(self._stop_requested.wait())
        await asyncio.wait((task, stopping), return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if task.done():
            await task
            return True
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        return False

    # --- serve and stop ---------------------------------------------------------------------------------------------

    async def _serve(self) -> ExitCode:
        assert self._parts is not None and self._app is not None  # noqa: S101 - `_start` has run
        pipeline, app = self._parts.pipeline, self._app
        watch = Watch(
            source=app.reviews_consumer,
            task=lambda: pipeline.task,
            progress=self._progress,
            broker=self._broker,
            clock=self._clock,
            metrics=self.metrics,
            newcomer=self._newcomer_is_answered,
            totals=self._totals,
            letters=self._letters,
            topic=self._topic,
            transaction_patience_s=self._settings.stall_timeout_s,
        )
        watching = asyncio.create_task(watch.run())
        crashed = asyncio.create_task(app.wait_until_stopped())
        stopping = asyncio.create_task(self._stop_requested.wait())
        await asyncio.wait((pipeline.failed, crashed, stopping, watching), return_when=asyncio.FIRST_COMPLETED)
        if crashed.done() and not pipeline.failed.done():
            pipeline.fail(app.crash_reason or RuntimeError("This is a bug: Faust stopped without a reason"))
        if watching.done() and not pipeline.failed.done():
            pipeline.fail(watching.exception() or RuntimeError("This is a bug: the watchdog stopped"))
        for waiter in (watching, stopping, crashed):
            waiter.cancel()
        return await self._finish()

    async def _finish(self) -> ExitCode:
        """Drain unless something failed, commit, and say how it ended; raises what failed."""
        assert self._parts is not None  # noqa: S101 - `_start` has run
        pipeline = self._parts.pipeline
        unfinished = 0
        if not pipeline.failed.done():
            logger.info("stopping: %d reviews in flight", pipeline.task.in_flight if pipeline.task else 0)
            unfinished = await pipeline.drain(self._settings.grace_period_s)
        await self._leave()
        if pipeline.failed.done():
            raise pipeline.failed.result()
        if unfinished:
            logger.error(
                "%d reviews were not finished in %g s; they are not committed and will be read again",
                unfinished,
                self._settings.grace_period_s,
            )
            return ExitCode.GRACE_EXCEEDED
        logger.info("stopped: everything read is published and committed")
        return ExitCode.OK

    async def _leave(self) -> None:
        """Publish what was handed to the producer, commit what is acknowledged, end the assignment."""
        assert self._parts is not None  # noqa: S101 - `_start` has run
        task = self._parts.pipeline.task
        offsets = await self._parts.pipeline.revoked(REVOCATION_FLUSH_S)
        if offsets and task is not None:
            try:
                async with asyncio.timeout(LAST_COMMIT_S):
                    await self.commit(offsets, task.generation)
            except (BrokerError, TimeoutError) as error:
                logger.warning(
                    "the last commit failed (%s); the reviews since the one before are repeated",
                    str(error) or f"no answer for {LAST_COMMIT_S:g} s",
                )
        self._parts.pipeline.closed()

    async def _stop_parts(self) -> None:
        """Consumer first, so that the group learns of it; then what it fed, in the direction of the data."""
        self._killed.set()
        if self._app is not None:
            with contextlib.suppress(Exception):  # a part that cannot be stopped must not keep the others
                async with asyncio.timeout(STOP_TIMEOUT_S):
                    await self._app.stop()
        if self._parts is not None:
            if self._parts.pipeline.lifecycle.state in (State.STARTING, State.RUNNING):
                self._parts.pipeline.lifecycle.to(State.DRAINING)
            await self._parts.pipeline.stop()
            await self._parts.collector.stop()
            self._letters.end()
            self._totals.end()
        if self._publisher is not None:
            await self._publisher.stop()
        if self._tracing is not None:
            await asyncio.to_thread(self._tracing.close, LAST_SPANS_S)

    # --- called by the transport and the pipeline -------------------------------------------------------------------

    async def revoked(self) -> dict[TopicPartition, int]:
        """See `worker.faust_app.host.Membership`."""
        return await self._parts.pipeline.revoked(REVOCATION_FLUSH_S) if self._parts else {}

    def closed(self) -> None:
        """See `worker.faust_app.host.Membership`."""
        if self._parts:
            self._parts.pipeline.closed()
            self._parts.collector.retire()
        for of_partitions in (
            self.metrics.lag,
            self.metrics.lag_in_transactions,
            self.metrics.open_transaction_seconds,
        ):
            of_partitions.clear()
        self.metrics.drain_seconds.set(0)

    async def take_over(self, partitions: Collection[TopicPartition]) -> None:
        """See `worker.faust_app.host.Membership`. An error stops the worker."""
        if not self._parts:
            return
        try:
            await self._parts.collector.take_over(partitions)
        except Exception as error:
            self._parts.pipeline.fail(error)

    def assigned(self, generation: int, start_offsets: Mapping[TopicPartition, int | None]) -> None:
        """See `worker.faust_app.host.Membership`."""
        if self._parts:
            self._parts.pipeline.assigned(generation, start_offsets)
        logger.info(
            "assigned %d partitions of %s: %s",
            len(start_offsets),
            self._settings.input_topic,
            ", ".join(str(partition.partition) for partition in sorted(start_offsets)) or "none",
        )

    def failed(self, error: FatalError) -> None:
        """See `worker.faust_app.host.Membership`."""
        if self._parts:
            self._parts.pipeline.fail(error)

    async def commit(self, offsets: Mapping[TopicPartition, int], generation: int) -> bool:
        """See `worker.pipeline.protocols.Committer`."""
        return self._app is not None and await self._app.reviews_consumer.store_offsets(offsets, generation)

    async def _newcomer_is_answered(self, partitions: Collection[TopicPartition]) -> bool:
        topic = self._settings.input_topic
        return await newcomer_is_answered(self._settings, partitions or [TopicPartition(topic, 0)])

    def _new_transactions(self, partition: TopicPartition) -> KafkaTransactions:
        settings = self._settings
        identity = transactional_id(settings.group, partition)
        return KafkaTransactions(
            partition,
            settings.group,
            lambda: new_producer(settings, identity),
            self._committed,
            self._offset_metadata,
        )

    async def _committed(self, partition: TopicPartition) -> int | None:
        assert self._app is not None  # noqa: S101 - it has assigned the partition
        return await self._app.reviews_consumer.committed(partition)

    def _offset_metadata(self, partition: TopicPartition) -> OffsetMetadata:
        assert self._app is not None  # noqa: S101 - it has assigned the partition
        return self._app.reviews_consumer.offset_metadata(partition)

    def _rejoin(self) -> None:
        if self._app is not None:
            self._app.reviews_consumer.rejoin()

    # --- health -----------------------------------------------------------------------------------------------------

    def _liveness_problems(self) -> list[str]:
        problem = self._progress.problem(self._clock.monotonic())
        return [problem] if problem else []

    def _readiness_problems(self) -> list[str]:
        pipeline = self._parts.pipeline if self._parts else None
        if self._model is None:
            return ["the model is not warm yet"]
        if self._app is None or pipeline is None:
            return ["the broker has not answered yet"]
        if not pipeline.lifecycle.accepts_input:
            return ["the worker is stopping"]
        if self._broker.is_away or self._topic.is_away:
            return ["the broker does not answer" if self._broker.is_away else "the input topic is missing"]
        if pipeline.task is None or pipeline.task.closed:
            return ["no partitions are assigned yet"]
        return []


def run_worker(settings: Settings, *, load: ModelLoader = load_model) -> ExitCode:
    """Run a worker until SIGTERM or SIGINT; raises FatalError. A second signal ends the process at once."""
    # Thousands of reviews are in flight at any time, none of them in a cycle: with the collector's usual threshold of
    # 700 new objects a tenth of the event loop's time goes into looking through them.
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)
    # The event loop gives the interpreter lock up at every call of the system, and would then wait for up to 5 ms for a
    # thread that prepares or fills in a batch.
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    return asyncio.run(_run(settings, load))


async def _run(settings: Settings, load: ModelLoader) -> ExitCode:
    service = WorkerService(settings, load=load)
    loop = asyncio.get_running_loop()
    signals = 0

    def on_signal() -> None:
        nonlocal signals
        signals += 1
        if signals > 1:
            os._exit(ExitCode.KILLED)
        logger.info("signal received; another one ends the process at once")
        service.request_stop()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, on_signal)
    try:
        return await service.run()
    except KafkaConnectionError as error:
        if (failure := recent_failure()) and failure.hopeless:
            raise as_worker_error(failure) from error
        raise UnreachableError(
            f"Kafka at {settings.bootstrap_servers} went away during the start ({error}); start the worker again"
        ) from error
    except KafkaError as error:
        raise lacking(error, "read") or FatalError(f"the broker refused: {type(error).__name__}: {error}") from error
