"""The whole flow on one page: intake, prepare, batch, infer, release in input order, publish, commit.

One event loop runs it. Preparing and inference each have threads of their own; everything else is on the loop. While
the session computes a batch in each slot, chunks are prepared and the next batch waits, cut, for the first
slot that is free; meanwhile earlier results are published. Only `intake` waits for room (`FlowControl`), so everything
behind it is bounded.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Generic, NamedTuple, TypeVar

from worker.clock import Clock
from worker.errors import BrokerError
from worker.logs import StateLog
from worker.metrics import Metrics
from worker.pipeline.flow_control import FlowControl
from worker.pipeline.inference_thread import DaemonThread
from worker.pipeline.lifecycle import Lifecycle, State
from worker.pipeline.progress import Progress
from worker.pipeline.protocols import Batch, Collector, Committer, Offsets, Preparer, Queue, Runner
from worker.pipeline.stream_task import StreamTask
from worker.records import Chunk, Entry, Record, TopicPartition, parts_of
from worker.tasks import owned
from worker.tracing import Tracing

logger = logging.getLogger(__name__)

NOT_COMMITTED = ("could not be committed", "could not be committed", "are committed again")

OffsetsFactory = Callable[[Sequence[TopicPartition], int], Offsets]
B = TypeVar("B", bound=Batch)


class _Slot(NamedTuple, Generic[B]):
    """What computes one batch after the other, beside the other slots."""

    thread: DaemonThread
    runner: Runner[B]


class Pipeline(Generic[B]):
    """Moves records from intake to committed offsets.

    The source calls `assigned`, `intake` and `revoked`; `failed` resolves with the first error that must stop the
    worker. Not thread-safe: every method belongs to the event loop that called `start`.
    """

    def __init__(
        self,
        *,
        preparer: Preparer,
        queue_factory: Callable[[], Queue[B]],
        runners: Sequence[Runner[B]],
        offsets_factory: OffsetsFactory,
        collector: Collector,
        committer: Committer,
        flow: FlowControl,
        progress: Progress,
        clock: Clock,
        metrics: Metrics,
        commit_interval_s: float,
        preparing_threads: int = 1,
        tracing: Tracing | None = None,
    ) -> None:
        self._preparer = preparer
        self._new_queue = queue_factory
        self._token_limit: int | None = None
        self._offsets_factory = offsets_factory
        self._collector = collector
        self._committer = committer
        self._flow = flow
        self._progress = progress
        self._clock = clock
        self._metrics = metrics
        self._tracing = tracing
        self._commit_interval_s = commit_interval_s
        self.lifecycle = Lifecycle()
        self.task: StreamTask | None = None
        self._queue: Queue[B] = queue_factory()
        self._assignment_changed = asyncio.Event()
        self._work_arrived = asyncio.Event()
        self._idle = asyncio.Event()
        self._preparing: asyncio.Queue[tuple[StreamTask, TopicPartition, asyncio.Future[list[Entry]]]] = asyncio.Queue()
        self._preparing_threads = ThreadPoolExecutor(preparing_threads, thread_name_prefix="prepare")
        # A runner is for one thread at a time, so each has its own.
        self._slots = [_Slot(DaemonThread(f"inference-{number}"), runner) for number, runner in enumerate(runners)]
        self._free_slots: asyncio.Queue[_Slot[B]] = asyncio.Queue()
        for slot in self._slots:
            self._free_slots.put_nowait(slot)
        self._routines: list[asyncio.Task[None]] = []
        self.failed: asyncio.Future[BaseException] = asyncio.get_running_loop().create_future()

    # --- life -------------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Start the routines; the source may call from now on."""
        self.lifecycle.to(State.STARTING)
        routines = (self._collect_prepared, self._batch_routine, self._commit_routine)
        self._routines = [owned(routine(), routine.__name__.strip("_"), self.fail) for routine in routines]
        self.lifecycle.to(State.RUNNING)

    def fail(self, error: BaseException) -> None:
        """Stop because of `error`: accept nothing new, and resolve `failed`. The first error counts."""
        if self.lifecycle.state in (State.STARTING, State.RUNNING, State.DRAINING):
            self.lifecycle.to(State.FAILED)
        if not self.failed.done():
            self.failed.set_result(error)
        self._assignment_changed.set()

    async def drain(self, grace_period_s: float) -> int:
        """Accept nothing new, finish what is in flight, commit it; answers how many records stayed unfinished.

        Those are not committed and will be read again. Never raises.
        """
        if self.lifecycle.state in (State.STARTING, State.RUNNING):
            self.lifecycle.to(State.DRAINING)
        self._assignment_changed.set()
        self._work_arrived.set()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(grace_period_s):
                while self.lifecycle.state is State.DRAINING and self.task is not None and self.task.in_flight:
                    self._idle.clear()
                    done = asyncio.ensure_future(self._idle.wait())
                    await asyncio.wait((done, self.failed), return_when=asyncio.FIRST_COMPLETED)
                    done.cancel()
        return self.task.in_flight if self.task else 0

    async def stop(self) -> None:
        """Stop the routines and threads. Does not commit: see `revoked`."""
        if self.task is not None:
            self.task.close()
        for routine in self._routines:
            routine.cancel()
        await asyncio.gather(*self._routines, return_exceptions=True)
        self._preparing_threads.shutdown(wait=False, cancel_futures=True)
        for slot in self._slots:
            slot.thread.shutdown(wait=False, cancel_futures=True)
        self.lifecycle.to(State.STOPPED)

    # --- called by the source ---------------------------------------------------------------------------------------

    def assigned(self, generation: int, start_offsets: Mapping[TopicPartition, int | None]) -> None:
        """A generation begins; `start_offsets` are the committed next offsets, None where there is none."""
        self._close_task()
        offsets = self._offsets_factory(tuple(start_offsets), generation)
        self.task = StreamTask(generation, start_offsets, offsets, self._collector, self._flow, self._metrics)
        self._queue = self._queue_factory()
        self._progress.assigned(self._clock.monotonic())
        self._metrics.rebalances.inc()
        self._metrics.assigned_partitions.set(len(start_offsets))
        self._assignment_changed.set()

    async def revoked(self, flush_timeout_s: float) -> dict[TopicPartition, int]:
        """The generation ends: publish what was sent, drop the rest; answers the offsets to commit, now.

        The caller commits them and then calls `closed`.
        """
        task = self.task
        if task is None:
            return {}
        task.halt()
        try:
            async with asyncio.timeout(flush_timeout_s):
                await self._collector.flush()
        except TimeoutError:
            logger.warning("outputs were not acknowledged in %.0f s; their reviews are read again", flush_timeout_s)
        return task.prepare_commit()

    def closed(self) -> None:
        """Nothing of the current generation may be published or committed any more."""
        self._close_task()
        if self.task is not None:
            self._progress.unassigned(self._clock.monotonic())
        self._metrics.assigned_partitions.set(0)

    def give_up(self, partition: TopicPartition) -> None:
        """Another member has taken over what comes of `partition`; the others of the generation go on."""
        if self.task is not None:
            self.task.give_up(partition)
            self.acknowledged()

    async def intake(self, chunk: Chunk) -> None:
        """Submit a chunk: waits for its generation to begin and for room; drops it when its generation is over.

        Never raises, since the source would go on reading: what must not happen stops the worker.
        """
        try:
            await self._intake(chunk)
        except Exception as error:
            self.fail(error)

    async def _intake(self, chunk: Chunk) -> None:
        task = await self._task_of(chunk)
        if task is None:
            self._metrics.dropped_stale.inc(len(chunk.records))
            return
        size_bytes = sum(record.size_bytes for record in chunk.records)
        await self._flow.wait_for_room(len(chunk.records), size_bytes)
        if task.closed or not self.lifecycle.accepts_input:
            self._metrics.dropped_stale.inc(len(chunk.records))
            return
        if records := task.submit(chunk):
            self._metrics.events_in.inc(len(records))
            future = asyncio.get_running_loop().run_in_executor(
                self._preparing_threads, self._prepare, records, self._clock.monotonic()
            )
            self._preparing.put_nowait((task, chunk.partition, future))

    # --- routines ---------------------------------------------------------------------------------------------------

    async def _collect_prepared(self) -> None:
        """Prepared chunks take their place in the order of intake, whichever thread was faster."""
        while True:
            task, partition, future = await self._preparing.get()
            entries = await future
            if task.closed:
                continue
            task.prepared(partition, entries)
            self._queue.extend(parts_of(entries))
            self._metrics.queue_reviews.set(len(self._queue))
            self._work_arrived.set()

    async def _batch_routine(self) -> None:
        """Cut a batch when a slot is free, or one ahead when there is enough for a full one."""
        while True:
            batch = await self._next_batch()
            task = self.task
            slot = await self._free_slots.get()
            owned(self._infer(batch, task, slot), slot.thread.name, self.fail, ends=True)

    async def _next_batch(self) -> B:
        while True:
            self._work_arrived.clear()
            now = self._clock.monotonic()
            idle = not self._free_slots.empty()
            ready_at = self._queue.ready_at(now) if idle or self._queue.has_full_batch else None
            draining = self.lifecycle.state is State.DRAINING and idle
            if ready_at is not None and (ready_at <= now or draining):
                batch = self._queue.next_batch(now, drain=draining)
                if batch is not None:
                    self._metrics.queue_reviews.set(len(self._queue))
                    self._metrics.queue_seconds.observe(now - min(part.arrived_at for part in batch.parts))
                    return batch
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(None if ready_at is None else ready_at - now):
                    await self._work_arrived.wait()

    async def _infer(self, batch: B, task: StreamTask | None, slot: _Slot[B]) -> None:
        try:
            if task is not None and not task.closed:
                started_at = self._clock.monotonic()
                number = self._progress.inference_started(started_at)
                if self._tracing is not None:
                    self._tracing.inferring(batch.parts, started_at)
                await asyncio.get_running_loop().run_in_executor(slot.thread, slot.runner.run, batch)
                ended_at = self._clock.monotonic()
                self._progress.inference_finished(number, ended_at)
                if self._tracing is not None:
                    self._tracing.inferred(batch.parts, ended_at)
                task.completed()
        finally:
            self._free_slots.put_nowait(slot)
            self._work_arrived.set()

    async def _commit_routine(self) -> None:
        """Store what is committable every interval. A broker that is away is asked again the next time."""
        offsets = StateLog(logger, "offsets", self._clock, NOT_COMMITTED)
        while True:
            await asyncio.sleep(self._commit_interval_s)
            try:
                await self.commit()
            except BrokerError as error:
                self._metrics.commits.labels("failed").inc()
                offsets.away(error, "trying again, nothing is lost")
            else:
                offsets.back()

    async def commit(self) -> None:
        """Store what is committable now; raises BrokerError."""
        task = self.task
        offsets = task.prepare_commit() if task else {}
        if task is None or not offsets:
            return
        if await self._committer.commit(offsets, task.generation):
            task.post_commit(offsets)
            self._metrics.commits.labels("stored").inc()
        else:
            self._metrics.commits.labels("stale").inc()

    def acknowledged(self) -> None:
        """Called after outputs were acknowledged: progress was made."""
        self._progress.advanced(self._clock.monotonic())
        if self.task is None or not self.task.in_flight:
            self._idle.set()

    def limit_tokens(self, max_batch_tokens: int) -> None:
        """The device has room for so many padded tokens only; counts for this and every later assignment."""
        # Batches that ran side by side find out one after the other, and the later one may have tried with more.
        self._token_limit = min(max_batch_tokens, self._token_limit or max_batch_tokens)
        self._queue.limit_tokens(self._token_limit)

    # --- inside -----------------------------------------------------------------------------------------------------

    def _prepare(self, records: list[Record], arrived_at: float) -> list[Entry]:
        started_at = self._clock.monotonic()
        entries = self._preparer.prepare(records, arrived_at)
        ended_at = self._clock.monotonic()
        self._metrics.prepare_seconds.observe(ended_at - started_at)
        if self._tracing is not None:
            self._tracing.prepared(entries, started_at, ended_at)
        return entries

    async def _task_of(self, chunk: Chunk) -> StreamTask | None:
        """The task that `chunk` belongs to, waiting for it to begin; None when it is over or intake has ended."""
        while self.lifecycle.accepts_input:
            task = self.task
            if task is not None and task.generation >= chunk.generation:
                return task if task.generation == chunk.generation and not task.closed else None
            self._assignment_changed.clear()
            await self._assignment_changed.wait()
        return None

    def _queue_factory(self) -> Queue[B]:
        queue = self._new_queue()
        if self._token_limit is not None:
            queue.limit_tokens(self._token_limit)
        return queue

    def _close_task(self) -> None:
        if self.task is not None:
            self.task.close()
            self._idle.set()
        self._queue = self._queue_factory()
        self._assignment_changed.set()
