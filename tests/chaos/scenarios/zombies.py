"""A worker that sleeps for longer than its session, wakes up, and must not do what is no longer its work."""

from __future__ import annotations

import json
import signal
from collections import Counter

from aiokafka import ConsumerRecord
from audit import source_of_output
from worker_process import WorkerProcess, eventually

from tests.chaos.scenario import scenario
from tests.chaos.stage import IN_FLIGHT, PARTITIONS, UNCOMMITTED, Stage, instance
from worker.errors import ExitCode

TIMES = 10


class Repeaters:
    """Counts, for each process, the outputs that it published after another process had published the same."""

    def __init__(self) -> None:
        self.counts: Counter[int] = Counter()
        self._first: dict[str, int] = {}

    def see(self, record: ConsumerRecord) -> None:
        """The next output."""
        pid = publisher_of(record)
        source = source_of_output(record)
        if self._first.setdefault(source, pid) != pid:
            self.counts[pid] += 1


def publisher_of(record: ConsumerRecord) -> int:
    """The process that published an output: special workers say it in the version of their model."""
    return int(json.loads(record.value)["sentiment"]["model"].rpartition("@")[2])


@scenario(short=0.1, deadline_s=900)
async def zombie(stage: Stage) -> None:
    """SIGSTOP of one of three workers for longer than its session, and SIGCONT when the others have its partitions,
    10 times. Awake, it publishes nothing more for the old assignment (at least once: the one group that each lane had
    under way may arrive), commits nothing, and joins again.
    """
    await stage.create_topics()
    workers = await stage.start_workers("worker 1", "worker 2", "worker 3")
    repeaters = Repeaters()
    stage.ledger.on_output = repeaters.see
    most = 0
    async with stage.load(), stage.commits_only_rise():
        await stage.flows(300)
        for _ in range(stage.times(TIMES)):
            most = max(most, await sleep_and_wake(stage, stage.rng.choice(workers), workers, repeaters))
    stage.fact(f"most that a zombie published after the new owner had: {most}")
    allowed = 0 if stage.exactly_once else IN_FLIGHT
    stage.promise(most <= allowed, f"a zombie repeats at most {allowed} outputs of others (it was {most})")


async def sleep_and_wake(
    stage: Stage, sleeper: WorkerProcess, workers: list[WorkerProcess], repeaters: Repeaters
) -> int:
    """One round; answers how many outputs of others the sleeper published again."""
    others = [worker for worker in workers if worker is not sleeper]
    await stage.pause(stage.rng.uniform(0.0, 1.0))
    assigned = len(sleeper.said("assigned "))
    stage.send(sleeper, signal.SIGSTOP)
    await eventually(lambda: own_all(others), "the others have all partitions")
    stage.note(stage.subject(sleeper), "the others have its partitions")
    for worker in others:
        await worker.reaches("events_out_total", await worker.metric("events_out_total") + 100)
    await stage.ledger.read_on(stage.servers)
    before = repeaters.counts[sleeper.process.pid]
    stage.send(sleeper, signal.SIGCONT)
    stage.may_repeat(UNCOMMITTED, "a sleeper: in flight, and published since its last commit")
    stage.may_repeat(IN_FLIGHT, "a sleeper that wakes up: the groups that its lanes had under way")
    stage.rebalances(2, members=2)
    await eventually(lambda: len(sleeper.said("assigned ")) > assigned, "the sleeper is assigned partitions anew")
    await sleeper.reaches("events_out_total", await sleeper.metric("events_out_total") + 100)
    stage.note(stage.subject(sleeper), "ready again")
    await stage.ledger.read_on(stage.servers)
    return repeaters.counts[sleeper.process.pid] - before


async def own_all(workers: list[WorkerProcess]) -> bool:
    """Whether these have all partitions."""
    return sum([await worker.metric("assigned_partitions") for worker in workers]) == PARTITIONS


@scenario(short=1.0)
async def a_zombie_is_replaced(stage: Stage) -> None:
    """A static member sleeps, and another process with the same instance id takes its place before its session is over.

    Awake, the sleeper publishes at most what its lanes had under way (exactly once: nothing), commits nothing, and ends
    with one line that says that its place is taken.
    """
    await stage.create_topics()
    repeaters = Repeaters()
    stage.ledger.on_output = repeaters.see
    names = ("worker 1", "worker 2")
    workers = [await stage.ready(stage.start_worker(name, **instance(name))) for name in names]
    async with stage.load(), stage.commits_only_rise():
        await stage.flows(300)
        sleeper = workers[0]
        stage.send(sleeper, signal.SIGSTOP)
        successor = await stage.ready(stage.start_worker("successor", **instance(names[0])))
        await successor.reaches("events_out_total", 100)
        await stage.ledger.read_on(stage.servers)
        before = repeaters.counts[sleeper.process.pid]
        stage.may_repeat(UNCOMMITTED, "a sleeper: in flight, and published since its last commit")
        stage.may_repeat(IN_FLIGHT, "a sleeper that wakes up: the groups that its lanes had under way")
        stage.rebalances(1, members=1)
        stage.ends_on_purpose(sleeper)
        stage.send(sleeper, signal.SIGCONT)
        code = await sleeper.ended()
        stage.note(stage.subject(sleeper), f"ended with {code}")
        stage.promise(code == ExitCode.USAGE, f"the sleeper ends with {ExitCode.USAGE} (it was {code})")
        stage.promise(bool(sleeper.said("took this worker's place")), "the sleeper says that its place is taken")
        await stage.flows(300)
        await stage.ledger.read_on(stage.servers)
    late = repeaters.counts[sleeper.process.pid] - before
    allowed = 0 if stage.exactly_once else IN_FLIGHT
    stage.promise(late <= allowed, f"a zombie repeats at most {allowed} outputs of others (it was {late})")
