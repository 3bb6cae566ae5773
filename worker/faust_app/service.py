"""The running worker: starts the real parts, sees the pipeline through its life, and stops them in order."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version

from worker.clock import SystemClock
from worker.delivery.dead_letter_log import DeadLetterLog
from worker.delivery.kafka_transactions import KafkaTransactions
from worker.delivery.offset_metadata import OffsetMetadata
from worker.delivery.publisher import KafkaPublisher
from worker.delivery.silence import Silence
from worker.delivery.transactions import transactional_id
from worker.errors import BrokerError, ExitCode, GraceExceededError
from worker.exhaustion import exhausted, files_needed, raise_file_limit
from worker.faust_app.app import FaustApp, build_app
from worker.faust_app.model import Model, load_model
from worker.faust_app.newcomer import newcomer_is_answered
from worker.faust_app.parts import Parts, Surroundings, build_pipeline, new_producer
from worker.faust_app.stacks import all_stacks
from worker.faust_app.totals import Totals
from worker.faust_app.watch import Watch
from worker.faust_app.web import HealthServer
from worker.logs import StateLog
from worker.metrics import Metrics
from worker.pipeline.lifecycle import State
from worker.pipeline.progress import Progress
from worker.records import TopicPartition
from worker.security import described
from worker.settings import Settings
from worker.tasks import owned
from worker.topic_specs import TopicLayout
from worker.topics import ensure_topics
from worker.tracing import Tracing, open_tracing

logger = logging.getLogger(__name__)

ModelLoader = Callable[[Settings, Metrics], Model]
REVOCATION_FLUSH_S = 3.0
LAST_COMMIT_S = 3.0
LAST_SPANS_S = 3.0
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
        self._progress = Progress(
            settings.stall_timeout_s,
            settings.rebalance_timeout_s,
            start_timeout_s=settings.start_timeout_s,
            started_at=self._clock.monotonic(),
        )
        self._broker = StateLog(logger, f"Kafka at {settings.bootstrap_servers}")
        self._letters = DeadLetterLog(self._clock)
        self._silence = Silence()
        self._totals = Totals(self.metrics, settings.totals_interval_s, self._clock)
        self._topic = StateLog(logger, f"topic {settings.input_topic}", words=MISSING)
        self._stop_requested = asyncio.Event()
        self._killed = threading.Event()
        self.failure: asyncio.Future[BaseException] = asyncio.get_running_loop().create_future()
        """The first error that ends the worker."""
        self._model: Model | None = None
        self._parts: Parts | None = None
        self._app: FaustApp | None = None
        self._publisher: KafkaPublisher | None = None
        self._tracing: Tracing | None = None
        self._watching: list[asyncio.Task[None]] = []
        self.url = ""

    def request_stop(self) -> None:
        """Stop soon: finish what is in flight, publish, commit, leave."""
        self._stop_requested.set()

    async def run(self) -> ExitCode:
        """Run until told to stop or until something is fatal; raises what it was."""
        if self._settings.tracing:
            self._tracing = open_tracing(self._settings.group, self._clock, self._fail_from_thread)
        server = HealthServer(
            self._settings.host,
            self._settings.port,
            metrics=self.metrics,
            alive=self._liveness_problems,
            ready=self._readiness_problems,
        )
        self.url = await server.start()
        logger.info("health and metrics on %s", self.url)
        self._watching.append(owned(self._new_watch().run(), "watchdog", self._fail))
        try:
            if not await self._unless_stopped(asyncio.create_task(self._start())):
                return ExitCode.OK
            return await self._serve()
        except Exception as error:
            self._fail(error)
            raise
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
        self._warn_of_few_files(layout)
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
        self._parts.pipeline.failed.add_done_callback(lambda failed: self._fail(failed.result()))
        self._parts.pipeline.start()
        self._app = build_app(settings, self, self._parts.pipeline.intake)
        self._progress.joining(self._clock.monotonic())
        self._watching.append(owned(self._until_crashed(self._app), "Faust", self._fail))
        await self._app.start()
        logger.info("classifying %s into %s as group %s", settings.input_topic, settings.output_topic, settings.group)

    def _warn_of_few_files(self, layout: TopicLayout) -> None:
        exactly_once = self._settings.exactly_once
        needed = files_needed(layout.input_partitions, layout.brokers, exactly_once=exactly_once)
        if needed > (limit := raise_file_limit()):
            logger.warning(
                "with all %d partitions this worker needs up to %d files and connections, and may open %d; it ends "
                "with exit code %d when that is not enough: raise the limit (ulimit -n), or run more workers",
                layout.input_partitions,
                needed,
                limit,
                ExitCode.EXHAUSTED,
            )

    async def _until_crashed(self, app: FaustApp) -> None:
        await app.wait_until_stopped()
        raise app.crash_reason or RuntimeError("This is a bug: Faust stopped without a reason")

    def _fail(self, error: BaseException) -> None:
        """End because of `error`; the first one counts."""
        error = exhausted(error) or error
        if not self.failure.done():
            self.failure.set_result(error)
        if self._parts is not None and not self._parts.pipeline.failed.done():
            self._parts.pipeline.fail(error)

    def _fail_from_thread(self, error: BaseException) -> None:
        self.failure.get_loop().call_soon_threadsafe(self._fail, error)

    async def _unless_stopped(self, task: asyncio.Task[None]) -> bool:
        """Wait for `task`; False when a stop was requested first, raises the failure that came first.

        The task is cancelled then.
        """
        stopping = asyncio.create_task(self._stop_requested.wait())
        await asyncio.wait((task, stopping, self.failure), return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if task.done():
            await task
            return True
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        if self.failure.done():
            raise self.failure.result()
        return False

    # --- serve and stop ---------------------------------------------------------------------------------------------

    def _new_watch(self) -> Watch:
        return Watch(
            source=lambda: self._app.reviews_consumer if self._app else None,
            task=lambda: self._parts.pipeline.task if self._parts else None,
            progress=self._progress,
            broker=self._broker,
            clock=self._clock,
            metrics=self.metrics,
            stacks=self._stacks,
            on_failure=self._fail,
            newcomer=self._newcomer_is_answered,
            totals=self._totals,
            letters=self._letters,
            topic=self._topic,
            transaction_patience_s=self._settings.stall_timeout_s,
        )

    def _stacks(self) -> str:
        consumers = [self._app.reviews_consumer.loop_of_thread] if self._app else []
        return all_stacks([asyncio.get_running_loop(), *consumers])

    async def _serve(self) -> ExitCode:
        stopping = asyncio.create_task(self._stop_requested.wait())
        await asyncio.wait((self.failure, stopping), return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
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
            raise GraceExceededError(
                f"{unfinished} reviews were not finished in {self._settings.grace_period_s:g} s (grace_period_s); "
                "they are not committed and will be read again"
            )
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
        for watching in self._watching:
            watching.cancel()
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
            with contextlib.suppress(RuntimeError):  # there may be no more threads
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
            self.metrics.damaged_offset,
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

    def failed(self, error: BaseException) -> None:
        """See `worker.faust_app.host.Membership`."""
        self._fail(error)

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
            self._silence,
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
