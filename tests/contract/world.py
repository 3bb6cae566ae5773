"""Two worlds with one face: a worker over the fake broker, and a worker over a real Kafka."""

from __future__ import annotations

import asyncio
import contextlib
import time
from abc import ABC, abstractmethod
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import kafka_tools
from aiokafka.errors import KafkaError
from kafka_tools import Message

from worker.batching import BatchLimits
from worker.devkafka import Cluster, LocalCluster
from worker.errors import ExitCode, GraceExceededError
from worker.fakes import FakeBroker, FakeGroup, FakeSession, FakeWorker
from worker.faust_app.model import Model
from worker.faust_app.service import WorkerService
from worker.records import Headers, TopicPartition
from worker.settings import Settings
from worker.tokenization import Tokenizer

LABELS = ("neg", "pos")
IDENTITY = "fake@1"
DEADLINE_S = 30.0
POLL_S = 0.01
KEEP = {"retention.ms": "-1"}
"""The records have timestamps of long ago, and a broker goes by these when it deletes what is too old."""


@dataclass(frozen=True)
class Out:
    """A record of the output or the dead-letter topic, wherever it was read."""

    partition: int
    key: bytes | None
    value: bytes | None
    headers: Headers
    timestamp_ms: int

    def header(self, name: str) -> str:
        """The last header of this name, as text."""
        value = dict(self.headers)[name]
        assert value is not None
        return value.decode()

    @property
    def source(self) -> tuple[int, int]:
        """Partition and offset of the input that it came from."""
        if "source" in dict(self.headers):
            _, partition, offset = self.header("source").rsplit("/", 2)
            return int(partition), int(offset)
        return int(self.header("__streams.errors.partition")), int(self.header("__streams.errors.offset"))


def by_partition(records: Sequence[Out]) -> dict[int, list[Out]]:
    """Records of each partition, in order."""
    grouped: dict[int, list[Out]] = defaultdict(list)
    for record in records:
        grouped[record.partition].append(record)
    return dict(grouped)


class RunningWorker:
    """A worker that runs as a task of the test's own loop."""

    def __init__(self, worker: WorkerService | FakeWorker, session: FakeSession) -> None:
        self.worker = worker
        self.session = session
        self.task = asyncio.create_task(worker.run())

    @property
    def pipeline(self) -> Any:
        return self.worker.pipeline if isinstance(self.worker, FakeWorker) else self.worker._parts.pipeline

    @property
    def assigned(self) -> int:
        """Partitions that it owns now."""
        return int(self.metric("assigned_partitions"))

    def metric(self, name: str, **labels: str) -> float:
        """The value of one of the worker's metrics; 0 when it was never set."""
        return self.worker.metrics.registry.get_sample_value(f"reviews_worker_{name}", labels) or 0.0

    async def until(self, condition: Callable[[], bool], what: str = "what was waited for") -> None:
        """Wait until `condition` is true; a worker that ends first is an error."""
        await _until(lambda: condition() or self.task.done(), what, self.describe)
        if self.task.done() and not condition():
            raise AssertionError(f"the worker ended before {what}: {self.task}")

    def describe(self) -> str:
        """Where it stands, for a reader of a failure."""
        names = ("assigned_partitions", "rebalances_total", "events_in_total", "stale_events_total", "events_out_total")
        return ", ".join(f"{name} {self.metric(name):g}" for name in names)

    async def until_assigned(self, partitions: int) -> None:
        """Wait until it owns so many partitions."""
        await self.until(lambda: self.assigned == partitions, f"{partitions} partitions (has {self.assigned})")

    async def until_computing(self, calls: int = 1) -> None:
        """Wait until the session was asked so often."""
        await asyncio.to_thread(self.session.wait_for_calls, calls)

    async def stop(self) -> ExitCode:
        """Ask it to stop and wait for its end."""
        self.worker.request_stop()
        try:
            return await self.ended()
        except GraceExceededError as error:
            return error.exit_code

    async def ended(self) -> ExitCode:
        """Wait for its end; raises what it raised."""
        async with asyncio.timeout(DEADLINE_S):
            return await self.task


class World(ABC):
    """Where a scenario takes place: three topics, a group and its workers."""

    def __init__(self, settings: Settings, tokenizer: Tokenizer) -> None:
        self.settings = settings
        self.tokenizer = tokenizer
        self.workers: list[RunningWorker] = []

    def worker(self, session: FakeSession | None = None, **settings: Any) -> RunningWorker:
        """Start a worker; `settings` differ from the world's."""
        session = session or FakeSession(concurrency=2)
        own = self.settings.model_copy(update=settings)
        worker = RunningWorker(self._build(session, own), session)
        self.workers.append(worker)
        return worker

    async def close(self) -> None:
        """End whatever still runs."""
        for worker in self.workers:
            worker.session.release()
            worker.worker.request_stop()
        await asyncio.gather(*(worker.task for worker in self.workers), return_exceptions=True)
        if self.settings.exactly_once:
            await self._check_repeats()

    async def _check_repeats(self) -> None:
        for topic in (self.settings.output_topic, self.settings.dead_letter_topic):
            with contextlib.suppress(KafkaError):  # a test that has not created it
                counts = Counter(record.source for record in await self.read(topic))
                repeated = [source for source, count in counts.items() if count > 1]
                assert not repeated, f"{topic} has {len(repeated)} sources more than once, first {repeated[:5]}"

    @abstractmethod
    def _build(self, session: FakeSession, settings: Settings) -> WorkerService | FakeWorker: ...

    @abstractmethod
    async def create_topics(self, partitions: int = 1, **limits: int) -> None:
        """Create the three topics; `output` and `dead_letters` limit the bytes of a batch there."""

    @abstractmethod
    async def limit_output(self, max_batch_bytes: int) -> None:
        """Let the output topic take less from now on."""

    @abstractmethod
    async def take_times(self, topic: str, first_ms: int, last_ms: int) -> None:
        """Let `topic` take no timestamp before or after these."""

    @abstractmethod
    async def compact(self, topic: str) -> None:
        """Let a topic be compacted from now on."""

    @abstractmethod
    async def produce(self, messages: Sequence[Message]) -> None: ...

    @abstractmethod
    async def read(self, topic: str, count: int | None = None) -> list[Out]:
        """What a topic has, as soon as it has `count` records or more; without, when what was written is decided."""

    @abstractmethod
    async def committed(self) -> dict[int, int]:
        """Next offsets that the group has stored, by partition."""

    @abstractmethod
    async def ends(self) -> dict[int, int]:
        """The end of each input partition."""

    @abstractmethod
    async def broker_goes_away(self) -> None: ...

    @abstractmethod
    async def broker_comes_back(self) -> None: ...

    async def outputs(self, count: int | None = None) -> list[Out]:
        return await self.read(self.settings.output_topic, count)

    async def dead_letters(self, count: int | None = None) -> list[Out]:
        return await self.read(self.settings.dead_letter_topic, count)

    async def check_commits(self) -> Mapping[int, int]:
        """Everything below the committed offsets is acknowledged; answers those offsets.

        A transaction that moved an offset may not be over yet at the output: `read` waits for its end.
        """
        committed = await self.committed()
        done = {record.source for record in [*await self.outputs(), *await self.dead_letters()]}
        for partition, offset in committed.items():
            lacking = [each for each in range(offset) if (partition, each) not in done]
            assert not lacking, f"partition {partition} is committed up to {offset}, and {lacking[:5]} have no output"
        return committed

    async def until_committed(self, offsets: Mapping[int, int]) -> None:
        """Wait until the group has stored these offsets."""
        deadline = time.monotonic() + DEADLINE_S
        while (seen := await self.check_commits()) != offsets:
            assert time.monotonic() < deadline, f"committed is {seen}, waited for {offsets}"
            await asyncio.sleep(POLL_S)


class FakeWorld(World):
    """Everything in memory. Every commit is checked at the moment it is made."""

    def __init__(self, settings: Settings, tokenizer: Tokenizer) -> None:
        super().__init__(settings, tokenizer)
        self.broker = FakeBroker()
        self.group = FakeGroup(self.broker, settings.group, settings.input_topic)
        self.broker.on_commit.append(self._check_commit)
        self.violations: list[str] = []

    def _build(self, session: FakeSession, settings: Settings) -> FakeWorker:
        return FakeWorker(self.group, settings, session=session, tokenizer=self.tokenizer, flush_timeout_s=0.05)

    async def close(self) -> None:
        await super().close()
        assert not self.violations

    async def create_topics(self, partitions: int = 1, **limits: int) -> None:
        settings = self.settings
        self.broker.create_topic(settings.input_topic, partitions, max_batch_bytes=4_000_000)
        for name, topic in (("output", settings.output_topic), ("dead_letters", settings.dead_letter_topic)):
            self.broker.create_topic(topic, partitions, max_batch_bytes=limits.get(name, 1_048_588))

    async def limit_output(self, max_batch_bytes: int) -> None:
        self.broker.limit_batch_bytes(self.settings.output_topic, max_batch_bytes)

    async def take_times(self, topic: str, first_ms: int, last_ms: int) -> None:
        self.broker.take_times(topic, first_ms, last_ms)

    async def compact(self, topic: str) -> None:
        self.broker.take_keys_only(topic)

    async def produce(self, messages: Sequence[Message]) -> None:
        for message in messages:
            self.broker.append(
                TopicPartition(self.settings.input_topic, message.partition or 0),
                message.value,
                key=message.key,
                headers=tuple(message.headers),
                timestamp_ms=message.timestamp_ms,
            )

    async def read(self, topic: str, count: int | None = None) -> list[Out]:
        try:
            async with asyncio.timeout(DEADLINE_S):
                await self.broker.until(lambda: len(self.broker.topic_records(topic)) >= (count or 0))
        except TimeoutError:
            raise AssertionError(f"{topic} has {len(self.broker.topic_records(topic))}, not {count}") from None
        return [
            Out(partition.partition, record.key, record.value, record.headers, record.timestamp_ms)
            for partition in self.broker.partitions(topic)
            for record in self.broker.records(partition)
        ]

    async def committed(self) -> dict[int, int]:
        return {each.partition: offset for each, offset in self.broker.committed(self.settings.group).items()}

    async def ends(self) -> dict[int, int]:
        return {
            each.partition: self.broker.end_offset(each) for each in self.broker.partitions(self.settings.input_topic)
        }

    async def broker_goes_away(self) -> None:
        self.broker.go_away()

    async def broker_comes_back(self) -> None:
        self.broker.come_back()

    def _check_commit(self, group: str, offsets: Mapping[TopicPartition, int]) -> None:
        topics = self.settings.output_topic, self.settings.dead_letter_topic
        records = [record for topic in topics for record in self.broker.topic_records(topic)]
        done = {Out(0, each.key, each.value, each.headers, 0).source for each in records}
        stored = self.broker.committed(group)
        for partition, offset in offsets.items():
            if offset < stored.get(partition, 0):
                self.violations.append(f"{partition}: {offset} after {stored[partition]}")
            below = [each.offset for each in self.broker.records(partition) if each.offset < offset]
            lacking = [each for each in below if (partition.partition, each) not in done]
            if lacking:
                self.violations.append(f"{partition}: committed {offset}, no output of {lacking[:5]}")


class KafkaWorld(World):
    """A real Kafka, and the worker as it is, in this process."""

    def __init__(self, settings: Settings, tokenizer: Tokenizer, cluster: Cluster) -> None:
        super().__init__(settings, tokenizer)
        self.servers = settings.bootstrap_servers
        self.cluster = cluster

    def _build(self, session: FakeSession, settings: Settings) -> WorkerService:
        limits = BatchLimits(1024, 16, 128, settings.linger_s, settings.max_wait_s)
        model = Model(IDENTITY, LABELS, self.tokenizer.with_overflow(settings.reading), session, limits)
        return WorkerService(settings, load=lambda *_: model)

    async def create_topics(self, partitions: int = 1, **limits: int) -> None:
        settings = self.settings
        for topic, limit in (
            (settings.input_topic, 4_000_000),
            (settings.output_topic, limits.get("output")),
            (settings.dead_letter_topic, limits.get("dead_letters")),
        ):
            config = KEEP | ({"max.message.bytes": str(limit)} if limit else {})
            await kafka_tools.create_topics(self.servers, topic, partitions=partitions, config=config)

    async def limit_output(self, max_batch_bytes: int) -> None:
        await kafka_tools.set_topic(
            self.servers, self.settings.output_topic, KEEP | {"max.message.bytes": str(max_batch_bytes)}
        )

    async def take_times(self, topic: str, first_ms: int, last_ms: int) -> None:
        now_ms = time.time_ns() // 1_000_000
        limits = {"before": now_ms - first_ms, "after": last_ms - now_ms}
        config = {f"message.timestamp.{side}.max.ms": str(limit) for side, limit in limits.items()}
        await kafka_tools.set_topic(self.servers, topic, KEEP | config)

    async def compact(self, topic: str) -> None:
        await kafka_tools.set_topic(self.servers, topic, KEEP | {"cleanup.policy": "compact"})

    async def produce(self, messages: Sequence[Message]) -> None:
        placed = [
            Message(each.value, each.key, each.headers, each.timestamp_ms, each.partition or 0) for each in messages
        ]
        await kafka_tools.produce(self.servers, self.settings.input_topic, placed)

    async def read(self, topic: str, count: int | None = None) -> list[Out]:
        records = await kafka_tools.consume_all(
            self.servers, topic, count=count, deadline_s=DEADLINE_S, read_committed=True
        )
        return [
            Out(each.partition, each.key, each.value, tuple(each.headers), each.timestamp)
            for each in sorted(records, key=lambda record: (record.partition, record.offset))
        ]

    async def committed(self) -> dict[int, int]:
        stored = await kafka_tools.stable_offsets(self.servers, self.settings.group, self.settings.input_topic)
        return {each.partition: offset for each, offset in stored.items()}

    async def ends(self) -> dict[int, int]:
        ends = await kafka_tools.end_offsets(self.servers, self.settings.input_topic)
        return {each.partition: offset for each, offset in ends.items()}

    async def broker_goes_away(self) -> None:
        assert isinstance(self.cluster, LocalCluster), "this would stop a broker that others use"
        await asyncio.to_thread(self.cluster.kill_broker, 1)

    async def broker_comes_back(self) -> None:
        assert isinstance(self.cluster, LocalCluster)
        await asyncio.to_thread(self.cluster.start_broker, 1)


async def _until(condition: Callable[[], bool], what: str, describe: Callable[[], str]) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"no sign of {what} within {DEADLINE_S:g} s; {describe()}")
        await asyncio.sleep(POLL_S)
