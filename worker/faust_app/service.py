"""The running worker: builds the real parts, hands them to the pipeline, and sees it through its life."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import signal
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from worker.batching import BatchQueue
from worker.clock import SystemClock
from worker.delivery.collector import RecordCollector
from worker.delivery.dead_letters import DeadLetterFuse
from worker.delivery.outputs import Destination, OutputWriter, Partitioner
from worker.delivery.publisher import KafkaPublisher
from worker.errors import BrokerError, ExitCode, FatalError
from worker.events import EventCodec, ResultWriter
from worker.faust_app.app import FaustApp, build_app
from worker.faust_app.model import Model, load_model
from worker.faust_app.transport import Standing
from worker.faust_app.web import HealthServer
from worker.inference import BatchRunner, RetryPolicy
from worker.logs import StateLog
from worker.metrics import Metrics
from worker.offsets import OffsetTracker
from worker.pipeline.flow_control import FlowControl
from worker.pipeline.lifecycle import State
from worker.pipeline.pipeline import Pipeline
from worker.pipeline.progress import Progress
from worker.pipeline.stream_task import StreamTask
from worker.preparation import RecordPreparer
from worker.records import TopicPartition
from worker.settings import Settings
from worker.topics import TopicLayout, ensure_topics

logger = logging.getLogger(__name__)

ModelLoader = Callable[[Settings, Metrics], Model]
REVOCATION_FLUSH_S = 3.0
WATCH_INTERVAL_S = 1.0
STOP_TIMEOUT_S = 20.0
MAX_BATCH_BYTES = 512 * 1024


class WorkerService:
    """One worker process. `run` is its whole life."""

    def __init__(self, settings: Settings, *, load: ModelLoader = load_model) -> None:
        self._settings = settings
        self._load = load
        self._clock = SystemClock()
        self.metrics = Metrics()
        self._progress = Progress(settings.stall_timeout_s)
        self._stop_requested = asyncio.Event()
        self._killed = threading.Event()
        self._model: Model | None = None
        self._pipeline: Pipeline[Any] | None = None
        self._app: FaustApp | None = None
        self._publisher: KafkaPublisher | None = None
        self._collector: RecordCollector | None = None
        self._committed: dict[TopicPartition, int] = {}
        self._stalled: str | None = None
        self._broker = StateLog(logger, f"Kafka at {settings.bootstrap_servers}")
        self.url = ""

    def request_stop(self) -> None:
        """Stop soon: finish what is in flight, publish, commit, leave."""
        self._stop_requested.set()

    async def run(self) -> ExitCode:
        """Run until told to stop or until something is fatal; raises FatalError."""
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
            started = asyncio.create_task(self._start())
            if not await self._unless_stopped(started):
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
        layout = await ensure_topics(settings)
        self._publisher = KafkaPublisher(self._new_producer, self.metrics)
        await self._publisher.start()
        self.metrics.broker_up.set(1)
        self._pipeline = self._build_pipeline(self._model, layout, self._publisher)
        self._pipeline.start()
        self._app = build_app(settings, self, self._pipeline.intake)
        await self._app.start()
        logger.info("classifying %s into %s as group %s", settings.input_topic, settings.output_topic, settings.group)

    def _new_producer(self) -> AIOKafkaProducer:
        settings = self._settings
        return AIOKafkaProducer(
            bootstrap_servers=settings.bootstrap_servers,
            client_id="reviews-worker",
            acks="all",
            enable_idempotence=True,
            compression_type=None if settings.compression == "none" else settings.compression,
            max_batch_size=MAX_BATCH_BYTES,
            max_request_size=max(MAX_BATCH_BYTES, settings.max_output_bytes),
        )

    def _build_pipeline(self, model: Model, layout: TopicLayout, publisher: KafkaPublisher) -> Pipeline[Any]:
        settings, clock, metrics = self._settings, self._clock, self.metrics
        codec = EventCodec(settings.text_field, settings.result_field, settings.max_event_bytes)
        output_limit = min(settings.max_output_bytes, layout.output_max_bytes or settings.max_output_bytes)
        writer = OutputWriter(
            codec=codec,
            results=ResultWriter(model.labels, model.identity),
            partitioner=Partitioner(layout.input_partitions),
            output=Destination(settings.output_topic, layout.output_partitions, output_limit),
            dead_letters=Destination(
                settings.dead_letter_topic, layout.dead_letter_partitions, layout.dead_letter_max_bytes or output_limit
            ),
            clock=clock,
        )
        fuse = DeadLetterFuse(settings.fuse_share, settings.fuse_window_reviews, settings.fuse_run_length)
        collector = RecordCollector(
            publisher=publisher,
            writer=writer,
            fuse=fuse,
            clock=clock,
            metrics=metrics,
            on_acknowledged=lambda: pipeline.acknowledged(),  # noqa: PLW0108 - it is made below
            on_failure=lambda error: pipeline.fail(error),  # noqa: PLW0108
        )
        self._collector = collector
        loop = asyncio.get_running_loop()
        runner = BatchRunner(
            model.session,
            model.tokenizer.pad_id,
            metrics,
            RetryPolicy(settings.retry_attempts, settings.retry_backoff_s),
            self._killed.wait,
            labels=model.labels,
            on_memory_limit=lambda tokens: _discard(loop.call_soon_threadsafe(pipeline.limit_tokens, tokens)),
        )
        pipeline: Pipeline[Any] = Pipeline(
            preparer=RecordPreparer(codec, model.tokenizer, clock),
            queue_factory=lambda: BatchQueue(model.limits),
            runner=runner,
            offsets_factory=_new_tracker,
            collector=collector,
            committer=self,
            flow=FlowControl(settings.max_in_flight_reviews, settings.max_in_flight_bytes, metrics),
            progress=self._progress,
            clock=clock,
            metrics=metrics,
            commit_interval_s=settings.commit_interval_s,
            preparing_threads=settings.tokeniser_threads,
        )
        return pipeline

    # --- serve and stop ---------------------------------------------------------------------------------------------

    async def _serve(self) -> ExitCode:
        pipeline, app = self._pipeline, self._app
        assert pipeline is not None and app is not None  # noqa: S101 - `_start` has run
        watching = asyncio.create_task(self._watch())
        crashed = asyncio.create_task(app.wait_until_stopped())
        stopping = asyncio.create_task(self._stop_requested.wait())
        await asyncio.wait((pipeline.failed, crashed, stopping), return_when=asyncio.FIRST_COMPLETED)
        watching.cancel()
        stopping.cancel()
        if crashed.done() and not pipeline.failed.done():
            reason = app.crash_reason or RuntimeError("Faust stopped without a reason")
            pipeline.fail(reason)
        crashed.cancel()
        if pipeline.failed.done():
            await self._leave(pipeline)
            raise pipeline.failed.result()
        logger.info("stopping: %d reviews in flight", pipeline.task.in_flight if pipeline.task else 0)
        unfinished = await pipeline.drain(self._settings.grace_period_s)
        await self._leave(pipeline)
        if pipeline.failed.done():
            raise pipeline.failed.result()
        if unfinished:
            logger.error(
                "%d reviews were not finished in %.0f s; they are not committed and will be read again",
                unfinished,
                self._settings.grace_period_s,
            )
            return ExitCode.GRACE_EXCEEDED
        logger.info("stopped: everything read is published and committed")
        return ExitCode.OK

    async def _leave(self, pipeline: Pipeline[Any]) -> None:
        """Publish what was handed to the producer, commit what is acknowledged, end the assignment."""
        offsets = await pipeline.revoked(REVOCATION_FLUSH_S)
        if offsets and pipeline.task is not None:
            try:
                async with asyncio.timeout(STOP_TIMEOUT_S):
                    await self.commit(offsets, pipeline.task.generation)
            except (BrokerError, TimeoutError) as error:
                logger.warning("the last commit failed (%s); the reviews since the one before are repeated", error)
        pipeline.closed()

    async def _stop_parts(self) -> None:
        self._killed.set()
        if self._app is not None:
            with contextlib.suppress(TimeoutError, Exception):
                async with asyncio.timeout(STOP_TIMEOUT_S):
                    await self._app.stop()
        if self._pipeline is not None:
            if self._pipeline.lifecycle.state in (State.STARTING, State.RUNNING):
                self._pipeline.lifecycle.to(State.DRAINING)
            await self._pipeline.stop()
        if self._collector is not None:
            await self._collector.stop()
        if self._publisher is not None:
            await self._publisher.stop()

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

    # --- called by the transport ------------------------------------------------------------------------------------

    async def revoked(self) -> dict[TopicPartition, int]:
        """See `worker.faust_app.transport.Membership`."""
        return await self._pipeline.revoked(REVOCATION_FLUSH_S) if self._pipeline else {}

    def closed(self) -> None:
        """See `worker.faust_app.transport.Membership`."""
        if self._pipeline:
            self._pipeline.closed()
        self._committed.clear()
        self.metrics.lag.clear()

    def assigned(self, generation: int, start_offsets: Mapping[TopicPartition, int | None]) -> None:
        """See `worker.faust_app.transport.Membership`."""
        if self._pipeline:
            self._pipeline.assigned(generation, start_offsets)
        self._committed = {partition: offset or 0 for partition, offset in start_offsets.items()}
        logger.info(
            "assigned %d partitions of %s: %s",
            len(start_offsets),
            self._settings.input_topic,
            ", ".join(str(partition.partition) for partition in sorted(start_offsets)) or "none",
        )

    async def commit(self, offsets: Mapping[TopicPartition, int], generation: int) -> bool:
        """See `worker.pipeline.protocols.Committer`."""
        if self._app is None:
            return False
        stored = await self._app.reviews_consumer.store_offsets(offsets, generation)
        if stored:
            self._committed.update(offsets)
        return stored

    # --- health -----------------------------------------------------------------------------------------------------

    async def _watch(self) -> None:
        """Look for a standstill, and say so once when it begins and once when it ends."""
        while True:
            await asyncio.sleep(WATCH_INTERVAL_S)
            await self._look_at_lag()
            problem = self._progress.problem(self._clock.monotonic())
            if problem and not self._stalled:
                logger.error("no progress: %s; /healthz fails until this changes", problem)
            if self._stalled and not problem:
                logger.info("progress again")
            self._stalled = problem

    async def _look_at_lag(self) -> None:
        """Learn how far there is to go. Standing still is right where there is nothing to do, or no broker to ask."""
        app, task = self._app, self._pipeline.task if self._pipeline else None
        if app is None or task is None or task.closed:
            return
        try:
            standing = await app.reviews_consumer.standing()
        except TimeoutError:
            return  # neither the consumer's thread nor the broker says anything: the watchdog's time runs on
        except KafkaError as error:
            self._broker.away(type(error).__name__, "nothing is lost, work goes on when it is back")
            self.metrics.broker_up.set(0)
            self._progress.caught_up(self._clock.monotonic())
            return
        self._broker.back()
        self.metrics.broker_up.set(1)
        if not task.closed:
            self._report_lag(task, standing)

    def _report_lag(self, task: StreamTask, standing: Mapping[TopicPartition, Standing]) -> None:
        waiting = task.in_flight
        for partition, (position, end, delivered_until) in standing.items():
            committed = self._committed.get(partition, 0)
            self.metrics.lag.labels(str(partition.partition)).set(max(0, end - committed))
            # What was handed over and never arrived counts too: Faust may lose a chunk on its way.
            waiting += max(0, end - position) + max(0, (delivered_until or 0) - (task.position(partition) or 0))
        if not waiting:
            self._progress.caught_up(self._clock.monotonic())

    def _liveness_problems(self) -> list[str]:
        problem = self._progress.problem(self._clock.monotonic())
        return [problem] if problem else []

    def _readiness_problems(self) -> list[str]:
        problems = []
        if self._model is None:
            problems.append("the model is not warm yet")
        if self._app is None or self._pipeline is None:
            problems.append("the broker has not answered yet")
        elif self._pipeline.task is None or self._pipeline.task.closed:
            problems.append("no partitions are assigned yet")
        elif self._broker.is_away:
            problems.append("the broker does not answer")
        elif not self._pipeline.lifecycle.accepts_input:
            problems.append("the worker is stopping")
        return problems


def _discard(_: object) -> None:
    """Answer nothing where a callback must not."""


def _new_tracker(partitions: Any, generation: int) -> OffsetTracker:
    tracker = OffsetTracker()
    tracker.assign(partitions, generation)
    return tracker


def run_worker(settings: Settings, *, load: ModelLoader = load_model) -> ExitCode:
    """Run a worker until SIGTERM or SIGINT; raises FatalError. A second signal ends the process at once."""
    # Thousands of reviews are in flight at any time, none of them in a cycle: with the collector's usual threshold of
    # 700 new objects a tenth of the event loop's time goes into looking through them.
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)
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
    except KafkaError as error:
        raise FatalError(f"the broker refused: {type(error).__name__}: {error}") from error
