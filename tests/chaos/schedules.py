"""Unlucky moments, forced: each a function that changes the classes of its own process, and breaks no promise."""

from __future__ import annotations

import asyncio
import os
from typing import Any

from aiokafka import AIOKafkaProducer
from session_faults import POLL_S, gate

from tests.chaos.patching import by_name, replace
from worker.delivery.kafka_transactions import KafkaTransactions
from worker.pipeline.pipeline import Pipeline
from worker.service.service import WorkerService


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
            delivered = asyncio.create_task(original(self, chunk))
            for _ in range(10):
                await asyncio.sleep(0)  # let it come as far as it comes without the assignment
            real_assigned(self, *late.pop())
            await delivered

        return intake_first

    replace(Pipeline, "assigned", assigned)
    replace(Pipeline, "intake", intake)


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


def held_commit() -> None:
    """A transaction has its outputs, and gets its offsets only when the gate is open. Says so, and says its end."""

    def send_offsets(original: Any) -> Any:
        async def send_offsets_at_the_gate(self: AIOKafkaProducer, offsets: Any, group: str) -> None:
            print("a commit waits", flush=True)
            await gate_opens()
            await original(self, offsets, group)

        return send_offsets_at_the_gate

    def commit(original: Any) -> Any:
        async def commit_and_say(self: KafkaTransactions, *arguments: Any) -> None:
            try:
                await original(self, *arguments)
            finally:
                print("a commit has ended", flush=True)

        return commit_and_say

    replace(AIOKafkaProducer, "send_offsets_to_transaction", send_offsets)
    replace(KafkaTransactions, "commit", commit)


def pause_while_taking_over() -> None:
    """Between fencing and reading the committed offsets, in whichever order they come, the gate must open.

    Says so, and says when records come meanwhile: aiokafka looks for the committed offsets by itself, too.
    """

    def take_over(original: Any) -> Any:
        async def take_over_and_pause(self: WorkerService, partitions: Any) -> None:
            reads_first = os.environ.get("TEST_TRAP") == "no-fencing"
            if not reads_first:
                await original(self, partitions)
            print("pauses while taking over", flush=True)
            await gate_opens()
            if reads_first:
                await original(self, partitions)

        return take_over_and_pause

    def intake(original: Any) -> Any:
        async def say_and_take(self: Pipeline[Any], chunk: Any) -> None:
            print("records have come", flush=True)
            await original(self, chunk)

        return say_and_take

    replace(WorkerService, "take_over", take_over)
    replace(Pipeline, "intake", intake)


def dies_after_commit() -> None:
    """The process ends, without a word to anybody, as soon as its first transaction is committed."""

    def commit(original: Any) -> Any:
        async def commit_and_die(self: AIOKafkaProducer) -> None:
            await original(self)
            os._exit(DIED)

        return commit_and_die

    replace(AIOKafkaProducer, "commit_transaction", commit)


async def gate_opens() -> None:
    """Wait for it; the event loop goes on."""
    while not gate().exists():  # noqa: ASYNC110 - a file has no event
        await asyncio.sleep(POLL_S)


DIED = 77
"""The exit code of a process that a schedule ended."""
SCHEDULES = by_name(late_assignment, agent_raises_once, held_commit, pause_while_taking_over, dies_after_commit)
