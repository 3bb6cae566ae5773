"""``python broken_worker.py MODEL PATCH...``: the worker of `special_worker.py`, with protections taken away by name.

It shows that the verifier notices. A patch is a *trap*, which switches one of Faust's ways to lose or repeat data back on,
or a *schedule*, which only forces an unlucky moment and which the unbroken worker must survive too.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import special_worker

from worker.delivery.collector import RecordCollector
from worker.faust_app.transport import ConsumerThread
from worker.inference import BatchRunner
from worker.offsets import OffsetTracker
from worker.pipeline.pipeline import Pipeline
from worker.pipeline.stream_task import StreamTask
from worker.records import entry_of

Patch = Callable[[], None]
PATCHES: dict[str, Patch] = {}


def patch(function: Patch) -> Patch:
    """Make `function` known by its name, with dashes."""
    PATCHES[function.__name__.replace("_", "-")] = function
    return function


def replace(owner: type, name: str, make: Callable[[Any], Any]) -> None:
    """Put ``make(original)`` in the place of a method; AttributeError where the worker has no such method any more."""
    setattr(owner, name, make(getattr(owner, name)))


# --- traps: what is acknowledged ------------------------------------------------------------------------------------


@patch
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


@patch
def step_over_head() -> None:
    """What is committable is the highest completed offset + 1, as in `Consumer._new_offset`, whatever is missing below."""

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


@patch
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


@patch
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

    replace(StreamTask, "prepare_commit", prepare_commit)
    replace(StreamTask, "halt", halt)


@patch
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
        def send_the_others(self: RecordCollector, entries: Any, owner: Any) -> None:
            original(self, [entry for entry in entries if entry.outcome is not skipped], owner)
            left_out = [entry for entry in entries if entry.outcome is skipped]
            if left_out:
                owner.acknowledged(left_out[0].record.partition, left_out)

        return send_the_others

    replace(BatchRunner, "run", run)
    replace(RecordCollector, "send", send)


# --- traps: what is read, and in which order it leaves --------------------------------------------------------------


@patch
def reads_uncommitted() -> None:
    """The consumer reads what upstream aborts, as Faust's does."""

    def create(original: Any) -> Any:
        def create_uncommitted(self: ConsumerThread, transport: Any) -> Any:
            consumer = original(self, transport)
            consumer._isolation_level = "read_uncommitted"
            return consumer

        return create_uncommitted

    replace(ConsumerThread, "_create_worker_consumer", create)


@patch
def no_follows_check() -> None:
    """A chunk is taken although chunks before it never arrived."""

    def submit(original: Any) -> Any:
        def submit_whatever_is_missing(self: StreamTask, chunk: Any) -> Any:
            chunk.follows = None
            return original(self, chunk)

        return submit_whatever_is_missing

    replace(StreamTask, "submit", submit)


@patch
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


@patch
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


@patch
def old_generation_published() -> None:
    """The end of an assignment changes nothing: what it had in flight is published when it is ready."""
    replace(StreamTask, "halt", lambda original: lambda self: None)
    replace(StreamTask, "close", lambda original: lambda self: None)


# --- schedules ------------------------------------------------------------------------------------------------------


@patch
def late_assignment() -> None:
    """The pipeline hears of an assignment when the first chunk of it is there already."""
    late: list[tuple[Any, ...]] = []
    real_assigned = Pipeline.assigned

    def assigned(original: Any) -> Any:
        def assigned_later(self: Pipeline[Any], *arguments: Any) -> None:
            late[:] = [arguments]

        return assigned_later

    def intake(original: Any) -> Any:
        async def intake_first(self: Pipeline[Any], chunk: Any) -> None:
            if not late or chunk.generation < late[0][0]:
                await original(self, chunk)
                return
            handed_over = asyncio.create_task(original(self, chunk))
            for _ in range(10):
                await asyncio.sleep(0)  # let it come as far as it comes without the assignment
            real_assigned(self, *late.pop())
            await handed_over

        return intake_first

    replace(Pipeline, "assigned", assigned)
    replace(Pipeline, "intake", intake)


@patch
def agent_raises_once() -> None:
    """A bug that nobody foresaw: the agent's loop raises on its second chunk."""
    chunks = 0

    def intake(original: Any) -> Any:
        async def intake_or_raise(self: Pipeline[Any], chunk: Any) -> None:
            nonlocal chunks
            chunks += 1
            if chunks == 2:
                raise RuntimeError("a bug in the agent's loop")
            await original(self, chunk)

        return intake_or_raise

    replace(Pipeline, "intake", intake)


if __name__ == "__main__":
    for chosen in sys.argv[2:]:
        PATCHES[chosen]()
    sys.exit(special_worker.main(sys.argv[1]))
