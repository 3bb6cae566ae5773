"""What a scenario is given: a Kafka, topics, a ledger, workers, dice, and a way to say what it does."""

from __future__ import annotations

import asyncio
import contextlib
import random
import signal
import uuid
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import kafka_tools
from aiokafka.errors import KafkaError
from audit import Verdict
from conftest import TopicNames
from kafka_tools import Message
from ledger import Ledger
from marked_reviews import MARKED_REVIEW_S, expected_score, marked_review
from worker_process import SPECIAL, WorkerProcess, Workers, eventually

from tests.chaos.kafkas import Kafka
from tests.chaos.proxy import Proxy
from tests.chaos.scenario import Guarantee, Scenario
from tests.chaos.timeline import Timeline
from tests.chaos.traps import Trap
from worker.errors import ExitCode

BUG = "This is a bug"
PARTITIONS = 6
KEYS_PER_PARTITION = 8
LOAD_PER_S = 500
IN_FLIGHT = 128
COMMIT_INTERVAL_S = 0.2
SESSION_TIMEOUT_S = 6.0
CONCURRENCY = 2
"""Batches that the model of a special worker computes side by side."""
MOST_PER_S = CONCURRENCY / MARKED_REVIEW_S
"""What one worker with the model ``marked`` classifies in a second, at most."""
COMMIT_S = 0.5
"""What a commit may take on a busy machine."""
UNCOMMITTED = IN_FLIGHT + round(MOST_PER_S * (COMMIT_INTERVAL_S + COMMIT_S))
"""What one worker has published and not committed, or has in flight, at any moment: the most that its sudden end may
repeat."""


def instance(subject: str, static: bool = True) -> dict[str, str]:
    """The setting that makes a worker a static member; none when it is to be a dynamic one."""
    return {"group_instance_id": subject.replace(" ", "-")} if static else {}


@dataclass
class Stage:
    """For one run of one scenario with one guarantee."""

    scenario: Scenario
    kafka: Kafka
    guarantee: Guarantee
    scale: float
    seed: str
    folder: Path
    """Of this run, for logs and whatever a scenario needs."""
    trap: Trap | None = None
    partitions: int = PARTITIONS

    rng: random.Random = field(init=False)
    """The only source of chance, so that a seed tells what happens (not when: that is up to the machine)."""
    names: TopicNames = field(init=False)
    ledger: Ledger = field(init=False)
    workers: Workers = field(init=False)
    timeline: Timeline = field(default_factory=Timeline, init=False)
    broken: list[str] = field(default_factory=list, init=False)
    """Promises that were found broken on the way."""
    allowances: list[tuple[int, str]] = field(default_factory=list, init=False)
    """How many repeats are allowed, and why."""
    facts: list[str] = field(default_factory=list, init=False)
    """What the report should say besides."""
    _subjects: dict[int, str] = field(default_factory=dict, init=False)
    _ended_on_purpose: set[int] = field(default_factory=set, init=False)
    _given_bugs: set[int] = field(default_factory=set, init=False)
    _proxies: dict[int, Proxy] = field(default_factory=dict, init=False)
    _stack: AsyncExitStack = field(default_factory=AsyncExitStack, init=False)

    def __post_init__(self) -> None:
        unique = uuid.uuid4().hex[:8]
        name = f"chaos.{self.scenario.name}.{unique}"
        self.names = TopicNames(f"{name}.in", f"{name}.out", f"{name}.dlq", name)
        self.ledger = Ledger(self.names, expected=expected_score)
        self.workers = Workers(self.names, self.folder)
        self.rng = random.Random(f"{self.seed}/{self.scenario.name}/{self.guarantee}")

    # --- sizes and words --------------------------------------------------------------------------------------------

    @property
    def servers(self) -> str:
        """The bootstrap servers, past any proxy: for whoever produces, reads and judges."""
        return self.kafka.servers

    @property
    def exactly_once(self) -> bool:
        """Whether nothing at all may come twice."""
        return self.guarantee == "exactly_once"

    def times(self, count: int) -> int:
        """`count` at this run's scale, at least 1."""
        return max(1, round(count * self.scale))

    def note(self, subject: str, what: str) -> None:
        """Put it on the timeline."""
        self.timeline.note(subject, what)

    def fact(self, what: str) -> None:
        """Something that the report should say, good or bad."""
        self.facts.append(what)

    def promise(self, kept: bool, what: str) -> None:
        """Note a broken promise and go on; `what` says what was to hold."""
        if not kept:
            self.broken.append(what)
            self.note("verdict", f"broken: {what}")

    def may_repeat(self, count: int, why: str) -> None:
        """Allow so many repeats more; with exactly once none are allowed, whatever is said here."""
        if not self.exactly_once:
            self.allowances.append((count, why))

    @property
    def allowed_repeats(self) -> int:
        """The bound on repeats, from everything that was allowed."""
        return sum(count for count, _ in self.allowances)

    # --- topics and events ------------------------------------------------------------------------------------------

    async def create_topics(self, partitions: int | None = None, config: Mapping[str, str] | None = None) -> None:
        """The three topics; `config` is the input topic's."""
        self.partitions = partitions or self.partitions
        await kafka_tools.create_topics(self.servers, self.names.input, partitions=self.partitions, config=config)
        others = self.names.output, self.names.dead_letters
        await kafka_tools.create_topics(self.servers, *others, partitions=self.partitions)

    def review(self, number: int) -> Message:
        """Review `number`: its mark, its key and its partition follow from it; each key stays in one partition."""
        keys = self.partitions * KEYS_PER_PARTITION
        return marked_review(number, key=b"key-%d" % (number % keys), partition=number % self.partitions)

    @asynccontextmanager
    async def load(
        self, make: Callable[[int], Message] | None = None, per_s: int = LOAD_PER_S
    ) -> AsyncIterator[asyncio.Task[None]]:
        """Reviews, at most `per_s`, for as long as the block lasts."""
        self.note("load", f"begins, at most {per_s}/s")
        async with self.ledger.load(self.servers, make or self.review, per_s=per_s) as task:
            yield task
        self.note("load", f"ends: {len(self.ledger.produced)} produced")

    async def flows(self, count: int = 100, deadline_s: float = 60.0) -> None:
        """Wait until the workers that run have published so many events more, together."""
        before = await self._published()

        async def more() -> bool:
            now = await self._published()
            return sum(now.values()) - sum(before.get(pid, 0.0) for pid in now) >= count

        await eventually(more, f"{count} more events from {len(self.running)} workers", deadline_s)

    async def _published(self) -> dict[int, float]:
        """Events out, by process; those that do not answer are left out."""
        counts = {}
        for worker in self.running:
            if (await worker.get("/healthz"))[0]:
                counts[worker.process.pid] = await worker.metric("events_out_total")
        return counts

    async def pause(self, seconds: float) -> None:
        """Let the load run: chance needs time to hit different moments. Nothing may depend on how long it is."""
        await asyncio.sleep(seconds)

    # --- workers ----------------------------------------------------------------------------------------------------

    def start_worker(
        self,
        subject: str,
        *,
        special: str | None = "marked",
        program: Path = SPECIAL,
        proxied: bool = False,
        variables: Mapping[str, str] | None = None,
        **settings: object,
    ) -> WorkerProcess:
        """Start a worker with the guarantee of this run; `subject` is its name on the timeline, and may come again.

        Its model is that of `program`, or the bundled one when `special` is None. With `proxied` it sees
        the brokers through the proxies only (`proxies`).
        """
        given: dict[str, object] = {
            "session_timeout_s": SESSION_TIMEOUT_S,
            "max_in_flight_reviews": IN_FLIGHT,
            "commit_interval_s": COMMIT_INTERVAL_S,
            "processing_guarantee": "exactly_once" if self.exactly_once else None,
            **settings,
        }
        worker = self.workers.start(
            self.kafka.proxied_servers if proxied else self.servers,
            special=special,
            program=self.trap.program if self.trap else program,
            variables={**(self.trap.variables if self.trap else {}), **(variables or {})},
            **given,
        )
        self._subjects[worker.process.pid] = subject
        self.note(subject, f"starts as process {worker.process.pid}")
        return worker

    async def start_workers(self, *subjects: str, **options: object) -> list[WorkerProcess]:
        """Start several and wait until all are ready; see `start_worker`."""
        workers = [self.start_worker(subject, **options) for subject in subjects]  # type: ignore[arg-type]
        await asyncio.gather(*(self.ready(worker) for worker in workers))
        return workers

    async def ready(self, worker: WorkerProcess) -> WorkerProcess:
        """Wait until it has partitions, or none are left for it."""
        await worker.ready()
        self.note(self.subject(worker), "ready")
        return worker

    def subject(self, worker: WorkerProcess) -> str:
        """Its name on the timeline."""
        return self._subjects[worker.process.pid]

    @property
    def running(self) -> list[WorkerProcess]:
        """Those that have not ended."""
        return [worker for worker in self.workers.started if worker.process.poll() is None]

    def kill(self, worker: WorkerProcess) -> None:
        """SIGKILL; at least once allows the repeats that follow (`UNCOMMITTED`)."""
        self.ends_on_purpose(worker)
        worker.kill()
        self.note(self.subject(worker), "SIGKILL")
        self.may_repeat(UNCOMMITTED, "a kill: in flight, and published since the last commit")

    async def stop(self, worker: WorkerProcess, deadline_s: float = 60.0) -> int:
        """SIGTERM, and wait; an exit code other than 0 is a broken promise."""
        self.ends_on_purpose(worker)
        self.note(self.subject(worker), "SIGTERM")
        code = await worker.stopped(deadline_s)
        self.note(self.subject(worker), f"ended with {code}")
        self.promise(code == ExitCode.OK, f"{self.subject(worker)} ends with 0 after SIGTERM (it was {code})")
        return code

    def send(self, worker: WorkerProcess, number: signal.Signals) -> None:
        """Any other signal."""
        worker.send(number)
        self.note(self.subject(worker), number.name)

    def ends_on_purpose(self, worker: WorkerProcess, *, with_bug: bool = False) -> None:
        """This worker may end from now on; every other one must still run when the scenario ends.

        `with_bug` when the scenario gives it one to report.
        """
        self._ended_on_purpose.add(worker.process.pid)
        if with_bug:
            self._given_bugs.add(worker.process.pid)

    def bugs(self, worker: WorkerProcess) -> list[str]:
        """What it says of bugs that the scenario has not given it."""
        if worker.process.pid in self._given_bugs:
            return []
        return [line.message for line in worker.said(BUG)]

    def unexpected_ends(self) -> list[str]:
        """What to say of workers that ended by themselves."""
        return [
            f"{self.subject(worker)} runs on (process {worker.process.pid} ended with {worker.process.returncode})"
            for worker in self.workers.started
            if worker.process.poll() is not None and worker.process.pid not in self._ended_on_purpose
        ]

    def rebalances(self, count: int, *, members: int) -> None:
        """Allow what `count` rebalances may repeat of so many members that stay: groups that were under way."""
        self.may_repeat(count * members * IN_FLIGHT, "a member at a rebalance: groups under way")

    @asynccontextmanager
    async def commits_only_rise(self) -> AsyncIterator[None]:
        """While the block lasts, no partition's committed offset goes down; else a promise is broken."""
        watching = asyncio.create_task(self._watch_commits())
        try:
            yield
        finally:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)

    async def _watch_commits(self) -> None:
        highest: dict[object, int] = {}
        while True:
            with contextlib.suppress(KafkaError, OSError, TimeoutError):
                for partition, offset in (await kafka_tools.committed_offsets(self.servers, self.names.group)).items():
                    before = highest.setdefault(partition, offset)
                    self.promise(offset >= before, f"a commit is never lowered ({partition}: {before}, then {offset})")
                    highest[partition] = offset
            await asyncio.sleep(COMMIT_INTERVAL_S)

    # --- brokers and network ----------------------------------------------------------------------------------------

    async def kill_broker(self, number: int) -> None:
        """SIGKILL, and wait until it is gone. The event loop goes on meanwhile, here and below."""
        self.note(f"broker {number}", "SIGKILL")
        await asyncio.to_thread(self.kafka.cluster.kill_broker, number)

    async def stop_broker(self, number: int) -> None:
        """SIGTERM, and wait until it is gone."""
        self.note(f"broker {number}", "SIGTERM")
        await asyncio.to_thread(self.kafka.cluster.stop_broker, number)

    async def start_broker(self, number: int) -> None:
        """Start it again and wait until it is back."""
        self.note(f"broker {number}", "starts")
        await asyncio.to_thread(self.kafka.cluster.start_broker, number)
        self.note(f"broker {number}", "back")

    async def proxies(self) -> dict[int, Proxy]:
        """A proxy in front of each broker, by its number, all open; for workers that are started as `proxied`."""
        if not self._proxies:
            for number, ports in self.kafka.ports.items():
                self._proxies[number] = await self._stack.enter_async_context(Proxy(ports.proxy, ports.broker))
        return self._proxies

    async def everything_is_committed(self) -> bool:
        """Whether the group has committed everything that was produced."""
        ends: dict[str, int] = {}
        for source in self.ledger.produced:
            partition, _, offset = source.rpartition("/")
            ends[partition] = max(ends.get(partition, 0), int(offset) + 1)
        stored = await kafka_tools.stable_offsets(self.servers, self.names.group, self.names.input)
        committed = {f"{partition.topic}/{partition.partition}": offset for partition, offset in stored.items()}
        return all(committed.get(partition, 0) >= end for partition, end in ends.items())

    # --- the end ----------------------------------------------------------------------------------------------------

    async def settled(self, deadline_s: float = 120.0) -> Verdict:
        """Wait until all is published that was produced, or the deadline passes; judge what there is."""
        return await self.ledger.settled(self.servers, deadline_s)

    async def close(self) -> None:
        """Kill what still runs, and take the proxies down."""
        self.workers.kill_all()
        await self._stack.aclose()
