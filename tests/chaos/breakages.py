"""One protection of the worker taken away, each a function that changes the classes of its own process."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from aiokafka import AIOKafkaClient, AIOKafkaProducer
from aiokafka.structs import TopicPartition as KafkaPartition

from tests.chaos.patching import by_name, replace
from worker.delivery.collector import RecordCollector
from worker.delivery.transactional_collector import TransactionalCollector
from worker.inference import BatchRunner
from worker.kafka.security.bootstrap import Client
from worker.pipeline.offsets import OffsetTracker
from worker.pipeline.pipeline import Pipeline
from worker.pipeline.stream_task import StreamTask
from worker.records import entry_of
from worker.source.consumer_thread import ConsumerThread

# --- what is acknowledged -------------------------------------------------------------------------------------------


def acknowledge_at_intake() -> None:
    """An offset is completed as soon as it is taken, as `take()` acknowledges whatever becomes of the batch."""

    def submit(original: Any) -> Any:
        def submit_and_complete(self: OffsetTracker, partition: Any, offsets: Any, generation: int) -> bool:
            fresh = original(self, partition, offsets, generation)
            return fresh and complete(self, partition, offsets, generation)

        return submit_and_complete

    complete = OffsetTracker.complete
    replace(OffsetTracker, "submit", submit)
    replace(OffsetTracker, "complete", lambda original: lambda self, partition, offsets, generation: True)


def step_over_head() -> None:
    """The highest completed offset + 1 is committable, as in `Consumer._new_offset`, whatever is missing below."""

    def committable(original: Any) -> Any:
        def complete(self: OffsetTracker, partition: Any, offsets: Iterable[int], generation: int) -> bool:
            listed = list(offsets)
            fresh = original(self, partition, listed, generation)
            if fresh:
                state = self._partitions[partition]
                state.committable = max(state.committable, max(listed) + 1)
            return fresh

        return complete

    replace(OffsetTracker, "complete", committable)


def gap_marks_next() -> None:
    """The first offset after a gap is completed too, as in `Consumer._add_gap`."""
    marked: set[tuple[Any, int]] = set()
    real_complete = OffsetTracker.complete

    def submit(original: Any) -> Any:
        def submit_and_mark(self: OffsetTracker, partition: Any, offsets: Any, generation: int) -> bool:
            last = self._partitions[partition].last_submitted
            fresh = original(self, partition, offsets, generation)
            for offset in offsets:
                if last >= 0 and offset > last + 1:
                    marked.add((partition, offset))
                    real_complete(self, partition, [offset], generation)
                last = offset
            return fresh

        return submit_and_mark

    def complete(original: Any) -> Any:
        def complete_the_others(self: OffsetTracker, partition: Any, offsets: Iterable[int], generation: int) -> bool:
            return original(self, partition, [o for o in offsets if (partition, o) not in marked], generation)

        return complete_the_others

    replace(OffsetTracker, "submit", submit)
    replace(OffsetTracker, "complete", complete)


def stale_acknowledged() -> None:
    """What the end of an assignment drops is committed, as the stream iterator acknowledges stale events."""

    def prepare_commit(original: Any) -> Any:
        def commit_all_that_was_submitted(self: StreamTask) -> Any:
            if not getattr(self, "ending", False):
                return original(self)
            positions = {partition: self.position(partition) for partition in self.partitions}
            return {partition: position for partition, position in positions.items() if position is not None}

        return commit_all_that_was_submitted

    def halt(original: Any) -> Any:
        def halt_and_remember(self: StreamTask) -> None:
            self.ending = True  # type: ignore[attr-defined]
            original(self)

        return halt_and_remember

    def post_commit(original: Any) -> Any:
        def stored_without_question(self: StreamTask, offsets: Any) -> None:
            # The tracker's own check would end this worker, where the regular commit comes before the last one.
            if not getattr(self, "ending", False):
                original(self, offsets)

        return stored_without_question

    replace(StreamTask, "prepare_commit", prepare_commit)
    replace(StreamTask, "post_commit", post_commit)
    replace(StreamTask, "halt", halt)


def skips_on_error() -> None:
    """A batch that raises is skipped and acknowledged, and the worker goes on with the next one."""
    skipped = object()

    def run(original: Any) -> Any:
        def run_or_skip(self: BatchRunner, batch: Any) -> None:
            try:
                original(self, batch)
            except Exception:
                for part in batch.parts:
                    entry_of(part).outcome = skipped  # type: ignore[assignment]

        return run_or_skip

    def send(original: Any) -> Any:
        def send_the_others(self: Any, entries: Any, owner: Any) -> None:
            kept = [entry for entry in entries if entry.outcome is not skipped]
            if kept:
                original(self, kept, owner)
            left_out = [entry for entry in entries if entry.outcome is skipped]
            if left_out:
                owner.acknowledged(left_out[0].record.partition, left_out)

        return send_the_others

    replace(BatchRunner, "run", run)
    replace(RecordCollector, "send", send)
    replace(TransactionalCollector, "send", send)


# --- what is read, and in which order it leaves ---------------------------------------------------------------------


def reads_uncommitted() -> None:
    """The consumer reads what upstream aborts, as Faust's does."""

    def create(original: Any) -> Any:
        def create_uncommitted(self: ConsumerThread, transport: Any) -> Any:
            consumer = original(self, transport)
            consumer._isolation_level = "read_uncommitted"
            return consumer

        return create_uncommitted

    replace(ConsumerThread, "_create_worker_consumer", create)


def no_follows_check() -> None:
    """A chunk is taken although chunks before it never arrived."""

    def submit(original: Any) -> Any:
        def submit_whatever_is_missing(self: StreamTask, chunk: Any) -> Any:
            chunk.follows = None
            return original(self, chunk)

        return submit_whatever_is_missing

    replace(StreamTask, "submit", submit)


def early_chunks_dropped() -> None:
    """A chunk that is there before its generation has begun is dropped instead of waiting, and nobody misses it."""

    def task_of(original: Any) -> Any:
        async def task_of_now(self: Pipeline[Any], chunk: Any) -> StreamTask | None:
            if self.task is None or self.task.generation < chunk.generation:
                return None
            return await original(self, chunk)

        return task_of_now

    replace(Pipeline, "_task_of", task_of)
    no_follows_check()


def no_release_order() -> None:
    """What is ready is published at once, whatever of its partition comes before it."""

    def completed(original: Any) -> Any:
        def completed_first(self: StreamTask) -> None:
            for waiting in self._unreleased.values():
                in_new_order = sorted(waiting, key=lambda entry: entry.outcome is None)
                waiting.clear()
                waiting.extend(in_new_order)
            original(self)

        return completed_first

    replace(StreamTask, "completed", completed)


def old_generation_published() -> None:
    """The end of an assignment changes nothing: what it had in flight is published when it is ready."""
    replace(StreamTask, "halt", lambda original: lambda self: None)
    replace(StreamTask, "close", lambda original: lambda self: None)


# --- exactly once ---------------------------------------------------------------------------------------------------


def no_fencing() -> None:
    """The committed offset is read before whoever may still commit is fenced."""

    def begin(original: Any) -> Any:
        async def read_and_then_fence(self: ConsumerThread, generation: int, assigned: Any) -> None:
            membership = self._context.membership
            partitions = [KafkaPartition(tp.topic, tp.partition) for tp in assigned]
            start = await self._starts.of(partitions, generation)
            await self._on_worker_loop(membership.take_over(list(start)))
            if generation == self.generation:
                await self._on_worker_loop(_call(membership.assigned, generation, start))

        return read_and_then_fence

    replace(ConsumerThread, "_begin", begin)


def plain_offset_commit() -> None:
    """The offsets are no part of the transaction: the commit routine stores them afterwards."""

    def send_offsets(original: Any) -> Any:
        async def send_nothing(self: AIOKafkaProducer, offsets: Any, group: str) -> None: ...

        return send_nothing

    replace(AIOKafkaProducer, "send_offsets_to_transaction", send_offsets)
    # What is not marked as committed is committed, again and again, by the routine that does so at least once.
    replace(StreamTask, "post_commit", lambda original: lambda self, offsets: None)


# --- what is asked of the brokers -----------------------------------------------------------------------------------


def learnt_brokers_only() -> None:
    """Who answers no more where he was is never looked for at the bootstrap servers, as in aiokafka's own client."""

    def metadata_update(original: Any) -> Any:
        return AIOKafkaClient._metadata_update

    replace(Client, "_metadata_update", metadata_update)


async def _call(function: Any, *arguments: Any) -> None:
    function(*arguments)


BREAKAGES = by_name(
    acknowledge_at_intake,
    step_over_head,
    gap_marks_next,
    stale_acknowledged,
    skips_on_error,
    reads_uncommitted,
    no_follows_check,
    early_chunks_dropped,
    no_release_order,
    old_generation_published,
    no_fencing,
    plain_offset_commit,
    learnt_brokers_only,
)
