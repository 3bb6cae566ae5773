"""Short situations in which a broken worker goes wrong every time, and an unbroken one never does.

Each plays with one group on topics of its own and ends when the group has committed everything: what is not published by
then is lost.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import kafka_tools
from conftest import TopicNames
from kafka_tools import Message
from ledger import Ledger
from worker_process import Gate, WorkerProcess, Workers, eventually, workers_for

from tests.chaos.kafka_faults import UNWRITABLE, set_topic
from worker.errors import ExitCode

BROKEN_WORKER = Path(__file__).with_name("broken_worker.py")
BATCH_REVIEWS = 4
SESSION_TIMEOUT_S = 6
NOT_JSON = b"this is no JSON"


@dataclass
class Play:
    """One situation, played with workers that have the same patches."""

    servers: str
    patches: tuple[str, ...]
    ledger: Ledger
    workers: Workers
    gate: Gate

    @property
    def names(self) -> TopicNames:
        """Its topics and its group."""
        return self.ledger.names

    def start(self, model: str, *schedules: str, **settings: object) -> WorkerProcess:
        """Start a worker."""
        return self.workers.start(
            self.servers,
            special=model,
            program=BROKEN_WORKER,
            arguments=(*schedules, *self.patches),
            variables=self.gate.variables,
            session_timeout_s=SESSION_TIMEOUT_S,
            max_batch_reviews=BATCH_REVIEWS,
            **settings,
        )

    async def create_topics(self, partitions: int, *, dead_letter_settings: dict[str, str] | None = None) -> None:
        """Input and output topic, and the dead-letter topic with one replica."""
        await kafka_tools.create_topics(self.servers, self.names.input, self.names.output, partitions=partitions)
        await kafka_tools.create_topics(
            self.servers, self.names.dead_letters, replication=1, config=dead_letter_settings
        )

    async def produce(self, *groups: Iterable[Message]) -> None:
        """Produce to the input topic, and remember."""
        for group in groups:
            await self.ledger.produce(self.servers, group)

    async def all_committed(self) -> bool:
        """Whether the group has committed everything that was produced."""
        stored = await kafka_tools.committed_offsets(self.servers, self.names.group)
        return stored == await kafka_tools.end_offsets(self.servers, self.names.input)


async def dead_letter_refused_behind_a_gap(play: Play) -> None:
    """The record after a gap is a dead letter that the broker refuses, while all that follow it are published.

    The gap is an aborted transaction. The worker stops because of the dead letter, and commits what may be committed.
    """
    await play.create_topics(1, dead_letter_settings=UNWRITABLE)
    await play.produce(reviews(range(1), 0))
    aborted = reviews(range(100, 105), 0)
    await kafka_tools.produce(
        play.servers, play.names.input, aborted, transactional_id=play.names.group, abort=True
    )
    await play.produce([Message(NOT_JSON, partition=0)], reviews(range(1, 21), 0))
    assert await play.start("free").ended() == ExitCode.DELIVERY
    await set_topic(play.servers, play.names.dead_letters, {})
    play.start("free")
    await eventually(play.all_committed, "everything is committed")


async def session_with_a_bug(play: Play) -> None:
    """The first batch raises what nobody foresaw; a worker that ends of it is started again."""
    await play.create_topics(1)
    await play.produce(reviews(range(40), 0))
    await until_committed(play, play.start("bug-once"), "free")


async def agent_with_a_bug(play: Play) -> None:
    """The agent's loop raises on its second chunk; a worker that ends of it is started again."""
    await play.create_topics(1)
    await play.produce(reviews(range(200), 0))
    await until_committed(play, play.start("free", "agent-raises-once", max_in_flight_reviews=160), "free")


async def chunks_before_their_generation(play: Play) -> None:
    """The first chunk is there before the pipeline knows of the assignment."""
    await play.create_topics(1)
    await play.produce(reviews(range(200), 0))
    play.start("free", "late-assignment", max_in_flight_reviews=160)
    await eventually(play.all_committed, "everything is committed")


async def rebalance_with_reviews_in_flight(play: Play) -> None:
    """A second worker joins while all reviews of the first one wait for the model."""
    await play.create_topics(2)
    await play.produce(reviews(range(40), 0), reviews(range(40, 80), 1))
    first = await play.start("gated").ready()
    await first.reaches("in_flight_reviews", 80)
    second = await play.start("gated").ready()

    async def shared() -> bool:
        return [await worker.metric("assigned_partitions") for worker in (first, second)] == [1, 1]

    await eventually(shared, "each worker has one partition")
    play.gate.open()
    await eventually(play.all_committed, "everything is committed")


async def slow_first_batch(play: Play) -> None:
    """The first batch of a partition is still being computed when all others are done."""
    await play.create_topics(1)
    await play.produce(reviews(range(10 * BATCH_REVIEWS), 0))
    worker = await play.start("slow-first").ready()
    await worker.reaches("inference_seconds_count", 9)
    play.gate.open()
    await eventually(play.all_committed, "everything is committed")


Situation = Callable[[Play], Awaitable[None]]


async def played(servers: str, folder: Path, situation: Situation, patches: tuple[str, ...]) -> Ledger:
    """Play `situation` with workers that have these patches; answers its ledger, for a verdict.

    Raises AssertionError, with the workers' logs, where it does not come to its end.
    """
    unique = uuid.uuid4().hex[:12]
    names = TopicNames(f"test.{unique}.in", f"test.{unique}.out", f"test.{unique}.dlq", f"test.{unique}")
    folder.mkdir()
    with workers_for(names, folder) as workers:
        play = Play(servers, patches, Ledger(names), workers, Gate(folder / "gate"))
        try:
            await situation(play)
        except AssertionError as error:
            logs = "\n".join(worker.shown() for worker in workers.started)
            raise AssertionError(f"{situation.__name__} with {patches or 'nothing'} broken: {error}\n{logs}") from error
    return play.ledger


async def until_committed(play: Play, worker: WorkerProcess, next_model: str) -> None:
    """Wait until everything is committed; a worker that ends before is started again, once."""

    async def ended_or_committed() -> bool:
        return worker.process.poll() is not None or await play.all_committed()

    await eventually(ended_or_committed, "the worker ends, or everything is committed")
    if not await play.all_committed():
        play.start(next_model)
        await eventually(play.all_committed, "everything is committed")


def reviews(numbers: range, partition: int) -> list[Message]:
    """Reviews for one partition."""
    return [
        Message(b'{"review_id":%d,"text":"number %d was good"}' % (number, number), partition=partition)
        for number in numbers
    ]
