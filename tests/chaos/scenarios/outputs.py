"""The topics that the worker writes to refuse in the middle, and the fuse that keeps dead letters in bounds."""

from __future__ import annotations

import random

import kafka_tools
from kafka_tools import Message
from marked_reviews import marked_review
from worker_process import WorkerProcess, eventually

from tests.chaos.kafka_faults import allow_writing, forbid_writing
from tests.chaos.scenario import scenario
from tests.chaos.stage import IN_FLIGHT, Stage
from worker.errors import ExitCode

LARGE_EVERY = 10
RUN_LENGTH = 20
WITH_RIGHTS = {
    "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
    # Everybody may do everything to what has no rules: the scenario makes one.
    "allow.everyone.if.no.acl.found": "true",
}


@scenario(short=1.0)
async def output_too_large(stage: Stage) -> None:
    """In the middle the output topic begins to refuse large records: what is too large becomes a dead letter."""
    await stage.create_topics()
    await stage.start_workers("worker 1", "worker 2")
    # Finding out which record of a batch is too large takes several tries, and this happens all the time here.
    async with stage.load(lambda number: sometimes_large(stage, number), per_s=100):
        await stage.flows(100)
        before = await dead_letters(stage)
        stage.promise(before == 0, f"nothing is too large at first (there were {before} dead letters)")
        await kafka_tools.set_topic(stage.servers, stage.names.output, {"max.message.bytes": "1500"})
        stage.note("topics", "the output topic takes 1500 bytes at most")
        await stage.flows(200)
    verdict = await stage.settled()
    stage.promise(verdict.dead_letters > 0, "what is too large becomes a dead letter")
    stage.promise(
        await dead_letters(stage) >= verdict.dead_letters - 2 * IN_FLIGHT, "the reason of each is output_too_large"
    )


def sometimes_large(stage: Stage, number: int) -> Message:
    """Every tenth review is of 6 kB."""
    review = stage.review(number)
    if number % LARGE_EVERY:
        return review
    assert review.value is not None
    padding = random.Random(number).randbytes(3000).hex().encode()  # such that compression does not help
    return Message(b'{"padding":"%s",' % padding + review.value[1:], review.key, partition=review.partition)


async def dead_letters(stage: Stage) -> float:
    """How many became dead letters because they were too large, all workers that run together."""
    return sum([await each.metric("dead_letters_total{reason=output_too_large}") for each in stage.running])


@scenario()
async def output_topic_deleted(stage: Stage) -> None:
    """Somebody deletes the output topic under a worker, and makes it again: nothing is lost that came after that."""
    await stage.create_topics(partitions=2)
    await stage.ledger.produce(stage.servers, map(stage.review, range(200)))
    (worker,) = await stage.start_workers("worker")
    await stage.settled()  # what is on the topic is read before it is gone
    await kafka_tools.delete_topics(stage.servers, stage.names.output)
    stage.note("topics", "the output topic is deleted")
    await stage.ledger.produce(stage.servers, map(stage.review, range(200, 400)))
    ended = await ends_or_complains(worker)
    await kafka_tools.create_topics(stage.servers, stage.names.output, partitions=2)
    stage.ledger.forget_positions(stage.names.output)
    stage.note("topics", "the output topic is there again")
    stage.fact(f"without its output topic, the worker {ended}")
    stage.may_repeat(IN_FLIGHT, "outputs whose acknowledgement went with the topic")
    if worker.process.poll() is not None:
        await stage.start_workers("worker")


async def ends_or_complains(worker: WorkerProcess) -> str:
    """Wait until the worker ends, or says that it cannot publish; answers which."""

    def answer() -> str:
        if worker.process.poll() is not None:
            return f"ends with {worker.process.returncode}"
        said = worker.said("does not take outputs now") or worker.said("has taken 10 s") or worker.said("failed (")
        return f"says: {said[0].message}" if said else ""

    return str(await eventually(answer, "the worker ends or complains"))


@scenario(short=1.0, properties=WITH_RIGHTS)
async def output_forbidden(stage: Stage) -> None:
    """The right to write the output topic is taken away in the middle: the worker ends with 8 and one clear line.

    When the right is back, the next worker goes on, and nothing is lost.
    """
    await stage.create_topics()
    (worker,) = await stage.start_workers("worker 1")
    async with stage.load():
        await stage.flows(300)
        stage.ends_on_purpose(worker)
        await forbid_writing(stage.servers, stage.names.output)
        stage.note("topics", "nobody may write to the output topic")
        code = await worker.ended(60)
        stage.note("worker 1", f"ended with {code}")
        stage.promise(code == ExitCode.DELIVERY, f"the worker ends with {ExitCode.DELIVERY} (it was {code})")
        errors = worker.errors
        stage.promise(len(errors) == 1, f"one line says why (there are {len(errors)}: {errors[:3]})")
        wanted = f"{stage.names.output}: this worker's user may not write the topic; grant Write on it"
        stage.promise(any(wanted in line for line in errors), f"the line names the right ({errors[:1]})")
        await allow_writing(stage.servers, stage.names.output)
        stage.note("topics", "everybody may write to the output topic")
        await stage.start_workers("worker 2")
        await stage.flows(300)
    stage.may_repeat(IN_FLIGHT, "groups under way when the right was taken away")


@scenario()
async def fuse_blows(stage: Stage) -> None:
    """The producer fills another member: dead letters in a row blow the fuse, the worker ends with 7, and the right
    setting classifies all that was not dead by then.
    """
    await stage.create_topics(partitions=2)
    await stage.ledger.produce(stage.servers, map(stage.review, range(100)))
    (worker,) = await stage.start_workers("worker 1", fuse_run_length=RUN_LENGTH)
    await worker.reaches("events_out_total", 100)
    stage.ends_on_purpose(worker)
    await stage.ledger.produce(stage.servers, (in_another_member(stage, number) for number in range(100, 400)))
    code = await worker.ended(60)
    stage.note("worker 1", f"ended with {code}")
    stage.promise(code == ExitCode.FUSE, f"the worker ends with {ExitCode.FUSE} (it was {code})")
    errors = worker.errors
    stage.promise(len(errors) == 1 and "text_field" in errors[0], f"one line says what to do ({errors[:3]})")
    await stage.start_workers("worker 2", text_field="body")
    verdict = await stage.settled()
    stage.fact(f"{verdict.dead_letters} dead letters, of a run of {RUN_LENGTH} that is allowed")
    stage.promise(verdict.dead_letters < 2 * RUN_LENGTH, f"few become dead letters (it was {verdict.dead_letters})")


def in_another_member(stage: Stage, number: int) -> Message:
    """A review whose text is not in ``text``."""
    review = marked_review(number, partition=number % stage.partitions)
    assert review.value is not None
    return Message(review.value.replace(b'"text"', b'"body"'), partition=review.partition)
