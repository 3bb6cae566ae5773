"""What may be wrong with the input topic: aborted transactions, holes, records that retention took."""

from __future__ import annotations

import asyncio

import kafka_tools
from kafka_tools import Message
from marked_reviews import marked_review
from worker_process import Gate, WorkerProcess, eventually

from tests.chaos.kafka_faults import delete_records
from tests.chaos.scenario import scenario
from tests.chaos.stage import Stage

TRANSACTIONS = 60
VERSIONS, KEYS = 5, 40
QUICKLY_COMPACTED = {
    "cleanup.policy": "compact",
    "segment.ms": "100",
    "min.cleanable.dirty.ratio": "0.01",
    "min.compaction.lag.ms": "0",
    "delete.retention.ms": "100",
}
PADDING = b"x" * 2000
"""Makes records so large that a fetch cannot reach far ahead."""


@scenario(short=0.2, deadline_s=600)
async def upstream_transactions(stage: Stage) -> None:
    """Upstream writes in 60 transactions and aborts half of them, at random; a worker is killed in the middle.

    Nothing of an aborted transaction may be published, and a transaction that is open holds back what follows it.
    """
    await stage.create_topics()
    workers = await stage.start_workers("worker 1", "worker 2")
    number, count = 0, stage.times(TRANSACTIONS)
    for turn in range(count):
        messages = [stage.review(number + index) for index in range(stage.rng.randrange(1, 40))]
        number += len(messages)
        abort = turn == 0 or stage.rng.random() < 0.5
        upstream = f"{stage.names.group}.upstream-{turn % 3}"
        sent = await kafka_tools.produce(
            stage.servers, stage.names.input, messages, transactional_id=upstream, abort=abort
        )
        if not abort:
            stage.ledger.note(messages, sent)
        if turn == count // 2:
            victim = stage.rng.randrange(len(workers))
            stage.kill(workers[victim])
            stage.rebalances(2, members=1)
            workers[victim] = stage.start_worker(stage.subject(workers[victim]))
    stage.note("upstream", f"{number} events in {count} transactions, {len(stage.ledger.produced)} of them committed")


@scenario(short=1.0)
async def compacted_topic(stage: Stage) -> None:
    """The input topic is compacted before it is read: of most keys only the last event is left, and offsets have holes.

    A worker that is killed in the middle goes on behind a hole.
    """
    await stage.create_topics(partitions=2, config=QUICKLY_COMPACTED)
    for version in range(VERSIONS):
        numbers = range(version * KEYS, (version + 1) * KEYS)
        messages = [marked_review(n, key=b"key-%d" % (n % KEYS), partition=n % 2) for n in numbers]
        sources = await stage.ledger.produce(stage.servers, messages)
        if version < VERSIONS - 1:
            stage.ledger.optional.update(sources)
        await asyncio.sleep(0.2)  # the broker begins a new segment at the first event after `segment.ms`
    last = (marked_review(VERSIONS * KEYS, key=b"last-%d" % partition, partition=partition) for partition in (0, 1))
    await stage.ledger.produce(stage.servers, last)
    await eventually(lambda: is_compacted(stage), "the broker has compacted the topic")
    first = await stage.ready(stage.start_worker("worker 1", max_in_flight_reviews=8))
    await first.reaches("events_out_total", 5)
    stage.kill(first)
    stage.start_worker("worker 2")


async def is_compacted(stage: Stage) -> bool:
    """Whether half of the events are gone at least."""
    left = len(await kafka_tools.consume_all(stage.servers, stage.names.input))
    if left > len(stage.ledger.produced) / 2:
        return False
    stage.note("topics", f"{left} of {len(stage.ledger.produced)} events are left")
    return True


@scenario(short=1.0)
async def truncated_while_stopped(stage: Stage) -> None:
    """Retention takes 100 events that the group has not read yet, while no worker runs. The log says which."""
    await stage.create_topics(partitions=1)
    await produce(stage, range(100))
    (first,) = await stage.start_workers("worker 1")
    await first.reaches("events_out_total", 100)
    await stage.stop(first)
    deleted = await produce(stage, range(100, 200))
    await produce(stage, range(200, 300))
    await truncate(stage, deleted, before=200)
    (second,) = await stage.start_workers("worker 2")
    said = await second.says("100 records of", "were deleted", "(100 to 199)")
    stage.promise(said.level == "ERROR", "deleted records are an error in the log")


@scenario(short=1.0)
async def truncated_while_reading(stage: Stage) -> None:
    """Retention takes events from under a worker that is held up and has not fetched them yet. The log says so."""
    await stage.create_topics(partitions=1)
    gate = Gate(stage.folder / "gate")
    sources = await produce(stage, range(3000))
    options = {"special": "held", "variables": gate.variables, "max_in_flight_reviews": 64}
    (worker,) = await stage.start_workers("worker", **options)
    await worker.reaches("in_flight_reviews", 60)
    await truncate(stage, sources[:2500], before=2500)
    gate.open()
    stage.note("worker", "is held up no more")
    await stage.settled(60)
    await promise_that_it_was_said(stage, worker)


async def promise_that_it_was_said(stage: Stage, worker: WorkerProcess) -> None:
    """Every event that was deleted unread is missing; the log must mention them."""
    published = int(await worker.metric("events_out_total"))
    missing = 3000 - published
    stage.fact(f"{missing} events were deleted before they were read")
    stage.promise(missing > 0, "some events were deleted before they were read")
    stage.promise(bool(worker.said("were deleted")), "the log says that records were deleted unread")


async def produce(stage: Stage, numbers: range) -> list[str]:
    """Padded reviews for partition 0; answers their sources."""
    messages = []
    for number in numbers:
        review = marked_review(number, partition=0)
        assert review.value is not None
        messages.append(Message(b'{"padding":"%s",' % PADDING + review.value[1:], partition=0))
    return await stage.ledger.produce(stage.servers, messages)


async def truncate(stage: Stage, sources: list[str], *, before: int) -> None:
    """Delete the events of partition 0 below an offset; `sources` may be missing from now on."""
    await delete_records(stage.servers, stage.names.input, {0: before})
    stage.ledger.optional.update(sources)
    stage.note("topics", f"the records below {before} are deleted")
