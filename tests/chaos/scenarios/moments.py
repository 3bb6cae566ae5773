"""Unlucky moments, each forced instead of waited for: a broken worker goes wrong every time, an unbroken one never.

Most end when the group has committed everything: what is not published by then is lost.
"""

from __future__ import annotations

import signal
from pathlib import Path

import kafka_tools
from kafka_tools import Message
from marked_reviews import marked_review
from worker_process import Gate, WorkerProcess, eventually

from tests.chaos.kafka_faults import UNWRITABLE
from tests.chaos.scenario import scenario
from tests.chaos.schedules import DIED
from tests.chaos.stage import Stage
from worker.errors import ExitCode

BROKEN_WORKER = Path(__file__).parents[1] / "broken_worker.py"
BATCH_REVIEWS = 4
NOT_JSON = b"this is no JSON"


@scenario()
async def dead_letter_refused_behind_a_gap(stage: Stage) -> None:
    """The record after a gap is a dead letter that the broker refuses, while all that follow it are published.

    The gap is an aborted transaction. The worker stops because of the dead letter, and commits what may be committed.
    """
    await stage.create_topics(partitions=1)
    await kafka_tools.set_topic(stage.servers, stage.names.dead_letters, UNWRITABLE)
    await produce(stage, reviews(range(1)))
    aborted = reviews(range(100, 105))
    upstream = f"{stage.names.group}.upstream"
    await kafka_tools.produce(stage.servers, stage.names.input, aborted, transactional_id=upstream, abort=True)
    await produce(stage, [Message(NOT_JSON, partition=0), *reviews(range(1, 21))])
    worker = stage.start_worker("worker")
    stage.ends_on_purpose(worker)
    code = await worker.ended()
    stage.promise(code == ExitCode.DELIVERY, f"the worker ends with {ExitCode.DELIVERY} (it was {code})")
    stage.may_repeat(21, "outputs after the dead letter, which could not be committed")
    await kafka_tools.set_topic(stage.servers, stage.names.dead_letters, {})
    stage.start_worker("worker")
    await commits_everything(stage)


@scenario()
async def bug_in_the_session(stage: Stage) -> None:
    """The first batch raises what nobody foresaw; a worker that ends of it is started again."""
    await stage.create_topics(partitions=1)
    await produce(stage, reviews(range(40)))
    worker = stage.start_worker("worker", special="bug-once", max_batch_reviews=BATCH_REVIEWS)
    await started_again_if_it_ends(stage, worker)
    await commits_everything(stage)


@scenario()
async def bug_in_the_agent(stage: Stage) -> None:
    """The agent's loop raises on its second chunk; a worker that ends of it is started again."""
    await stage.create_topics(partitions=1)
    await produce(stage, reviews(range(200)))
    worker = stage.start_worker("worker", program=BROKEN_WORKER, variables={"TEST_SCHEDULE": "agent-raises-once"})
    await started_again_if_it_ends(stage, worker)
    await commits_everything(stage)


@scenario()
async def chunks_before_their_generation(stage: Stage) -> None:
    """The first chunk is there before the pipeline knows of the assignment."""
    await stage.create_topics(partitions=1)
    await produce(stage, reviews(range(200)))
    stage.start_worker("worker", program=BROKEN_WORKER, variables={"TEST_SCHEDULE": "late-assignment"})
    await commits_everything(stage)


@scenario()
async def rebalance_with_reviews_in_flight(stage: Stage) -> None:
    """A second worker joins while all reviews of the first one wait for the model."""
    await stage.create_topics(partitions=2)
    await produce(stage, [*reviews(range(40)), *reviews(range(40, 80), 1)])
    gate = Gate(stage.folder / "gate")
    options = {
        "special": "held",
        "variables": gate.variables,
        "max_batch_reviews": BATCH_REVIEWS,
        "max_in_flight_reviews": 512,
    }
    (first,) = await stage.start_workers("worker 1", **options)
    await first.reaches("in_flight_reviews", 80)
    (second,) = await stage.start_workers("worker 2", **options)

    async def shared() -> bool:
        return [await worker.metric("assigned_partitions") for worker in (first, second)] == [1, 1]

    await eventually(shared, "each worker has one partition")
    gate.open()
    await commits_everything(stage)


@scenario()
async def slow_first_batch(stage: Stage) -> None:
    """The first batch of a partition is still being computed when all others are done."""
    await stage.create_topics(partitions=1)
    await produce(stage, reviews(range(10 * BATCH_REVIEWS)))
    gate = Gate(stage.folder / "gate")
    options = {"special": "slow-first", "variables": gate.variables, "max_batch_reviews": BATCH_REVIEWS}
    (worker,) = await stage.start_workers("worker", **options)
    await worker.reaches("inference_seconds_count", 9)
    gate.open()
    await worker.reaches("events_out_total", 10 * BATCH_REVIEWS)


@scenario(guarantees=("exactly_once",))
async def taken_over_at_the_commit(stage: Stage) -> None:
    """A worker sleeps with a complete transaction, and commits it while its successor is taking over."""
    await stage.create_topics(partitions=1)
    await produce(stage, reviews(range(20)))
    commit, beginning = Gate(stage.folder / "commit"), Gate(stage.folder / "beginning")
    held = {"TEST_SCHEDULE": "held-commit", **commit.variables}
    sleeper = stage.start_worker("sleeper", program=BROKEN_WORKER, variables=held)
    await sleeper.says("a commit waits")
    stage.send(sleeper, signal.SIGSTOP)
    paused = {"TEST_SCHEDULE": "pause-while-taking-over", **beginning.variables}
    successor = stage.start_worker("successor", program=BROKEN_WORKER, variables=paused)
    await successor.says("pauses while taking over")
    await successor.says("records have come")
    commit.open()
    stage.send(sleeper, signal.SIGCONT)
    await sleeper.says("a commit has ended")
    beginning.open()
    await produce(stage, reviews(range(20, 21)))
    await commits_everything(stage)


@scenario(guarantees=("exactly_once",))
async def killed_after_the_commit(stage: Stage) -> None:
    """The process is gone as soon as its first transaction is committed."""
    await stage.create_topics(partitions=1)
    await produce(stage, reviews(range(20)))
    worker = stage.start_worker("worker", program=BROKEN_WORKER, variables={"TEST_SCHEDULE": "dies-after-commit"})
    stage.ends_on_purpose(worker)
    code = await worker.ended()
    stage.promise(code == DIED, f"the worker is ended by the test (its exit code was {code})")
    stage.start_worker("worker")
    await commits_everything(stage)


def reviews(numbers: range, partition: int = 0) -> list[Message]:
    """Reviews for one partition."""
    return [marked_review(number, partition=partition) for number in numbers]


async def produce(stage: Stage, messages: list[Message]) -> None:
    """Produce to the input topic, and remember."""
    await stage.ledger.produce(stage.servers, messages)


async def commits_everything(stage: Stage) -> None:
    """Wait until the group has committed everything, and stop its workers: nothing will come after that."""
    await eventually(stage.everything_is_committed, "everything is committed", deadline_s=60)
    stage.note("group", "everything is committed")
    for worker in stage.running:
        await worker.says("health and metrics on")
        await stage.stop(worker)


async def started_again_if_it_ends(stage: Stage, worker: WorkerProcess) -> None:
    """Wait until everything is committed or the worker has ended, and start another one then."""
    stage.ends_on_purpose(worker, with_bug=True)

    async def ended_or_done() -> bool:
        return worker.process.poll() is not None or await stage.everything_is_committed()

    await eventually(ended_or_done, "the worker ends, or everything is committed")
    if worker.process.poll() is not None:
        stage.note(stage.subject(worker), f"ended with {worker.process.returncode}")
        stage.start_worker("worker")
