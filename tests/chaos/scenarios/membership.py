"""Members that come and go, and topics that grow."""

from __future__ import annotations

import itertools
from itertools import islice

import kafka_tools
from kafka_tools import Message
from marked_reviews import marked_review
from worker_process import WorkerProcess, eventually

from tests.chaos.scenario import scenario
from tests.chaos.stage import KEYS_PER_PARTITION, Stage, instance

FEWEST, MOST = 1, 5
CHANGES = 60
BEFORE, AFTER = 3, 6


@scenario(short=0.05, deadline_s=1800)
async def join_and_leave(stage: Stage) -> None:
    """Workers join and leave at random, 60 times, one to five of them; every third leaves by SIGKILL."""
    await come_and_go(stage, static=False)


@scenario(deadline_s=1800)
async def join_and_leave_static(stage: Stage) -> None:
    """The same with static membership: who leaves keeps its partitions until its session is over."""
    await come_and_go(stage, static=True)


async def come_and_go(stage: Stage, *, static: bool) -> None:
    """One change after the other."""
    await stage.create_topics()
    names = (f"worker {number}" for number in itertools.count(1))
    workers = [await stage.ready(stage.start_worker(name, **instance(name, static))) for name in islice(names, 2)]
    async with stage.load():
        await stage.flows()
        for _ in range(stage.times(CHANGES)):
            await stage.pause(stage.rng.uniform(0.0, 2.0))
            joins = len(workers) <= FEWEST or (len(workers) < MOST and stage.rng.random() < 0.5)
            if joins:
                name = next(names)
                workers.append(await stage.ready(stage.start_worker(name, **instance(name, static))))
            else:
                await leave(stage, workers.pop(stage.rng.randrange(len(workers))))
            stage.rebalances(1, members=len(workers))
            await stage.flows(200)
    errors = [line.message for worker in stage.workers.started for line in worker.log if line.level == "ERROR"]
    stage.promise(not errors, f"nobody logs an error: {errors[:1]}")


async def leave(stage: Stage, worker: WorkerProcess) -> None:
    """By SIGTERM, or, one time in three, by SIGKILL."""
    if stage.rng.random() < 1 / 3:
        stage.kill(worker)
    else:
        await stage.stop(worker)


@scenario(short=0.2, deadline_s=600)
async def partitions_are_added(stage: Stage) -> None:
    """All three topics grow from 3 to 6 partitions under load, output first; workers are killed and restarted around.

    Each key has its partition, old or new, so that its order is defined. A key may change its output partition once:
    where workers that know of the new partitions follow those that do not.
    """
    await grow(stage, static=False)


@scenario(deadline_s=600)
async def partitions_are_added_static(stage: Stage) -> None:
    """The same with static membership: no join makes the group look at the topic again, the leader must notice."""
    await grow(stage, static=True)


async def grow(stage: Stage, *, static: bool) -> None:
    """Grow, trouble the workers, and restart them."""
    await stage.create_topics(partitions=BEFORE)
    stage.ledger.keys_may_move = True
    names = stage.names
    workers = [stage.start_worker(name, **instance(name, static)) for name in ("worker 1", "worker 2", "worker 3")]
    for worker in workers:
        await stage.ready(worker)
    async with stage.load(lambda number: growing_review(stage, number)):
        await stage.flows(300)
        for topic in (names.output, names.dead_letters, names.input):
            await kafka_tools.create_partitions(stage.servers, topic, AFTER)
        stage.partitions = AFTER
        stage.note("topics", f"{BEFORE} partitions become {AFTER}")
        for _ in range(stage.times(5)):
            victim = stage.rng.randrange(len(workers))
            stage.kill(workers[victim])
            stage.rebalances(2, members=2)
            await stage.pause(stage.rng.uniform(0.0, 2.0))
            name = stage.subject(workers[victim])
            workers[victim] = stage.start_worker(name, **instance(name, static))
            await stage.flows(200)
        # As the documentation says: after adding partitions, start the workers again.
        for number, worker in enumerate(workers):
            await stage.ready(worker)
            await stage.stop(worker)
            name = stage.subject(worker)
            workers[number] = await stage.ready(stage.start_worker(name, **instance(name, static)))
            stage.rebalances(2, members=2)
            await stage.flows(200)
        await eventually(lambda: all_read(stage, workers), "every new partition has a reader")
        await stage.flows(300)


def growing_review(stage: Stage, number: int) -> Message:
    """As `Stage.review`, for as many partitions as there are now; keys of new partitions are new keys."""
    partition = number % stage.partitions
    return marked_review(number, key=b"key-%d-%d" % (partition, number % KEYS_PER_PARTITION), partition=partition)


async def all_read(stage: Stage, workers: list[WorkerProcess]) -> bool:
    """Whether all partitions are assigned."""
    return sum([await worker.metric("assigned_partitions") for worker in workers]) == stage.partitions


@scenario(short=1.0)
async def more_workers_than_partitions(stage: Stage) -> None:
    """Three workers share two partitions; the idle one takes over when an owner is killed, the last when one leaves."""
    await stage.create_topics(partitions=2)
    workers = await stage.start_workers("worker 1", "worker 2", "worker 3")
    async with stage.load():
        await stage.flows()
        owners = [worker for worker in workers if await worker.metric("assigned_partitions")]
        stage.promise(len(owners) == 2, f"two of the three have a partition each (they were {len(owners)})")
        stage.kill(owners[0])
        stage.rebalances(1, members=2)
        await stage.flows(1000)
        await stage.stop(owners[1])
        stage.rebalances(1, members=1)
        (last,) = stage.running
        await last.reaches("assigned_partitions", 2)
        await stage.flows(300)
