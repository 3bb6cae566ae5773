"""A group of workers under a steady stream, with a reader that notes when each output comes."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import kafka_tools
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from conftest import TopicNames
from worker_process import WorkerProcess, Workers, eventually, workers_for

from tests.benchmarks.silence import Arrival

PARTITIONS = 6
TICK_S = 0.02
CAUGHT_UP = 60
"""So few events on their way are no backlog."""


class SteadyGroup:
    """Workers, their topics, what is produced to them and what comes out; made by `steady_group`."""

    def __init__(self, servers: str, workers: Workers, settings: dict[str, object], *, static: bool) -> None:
        self._servers = servers
        self._workers = workers
        self._settings = settings
        self._static = static
        self.running: dict[str, WorkerProcess] = {}
        self.arrivals: list[Arrival] = []
        self.produced = 0
        self._sources: set[bytes] = set()

    @property
    def repeated(self) -> int:
        """Outputs that came more than once."""
        return len(self.arrivals) - len(self._sources)

    async def start(self, *names: str) -> None:
        """Start workers, and wait until each is ready and all share the partitions out."""
        for name in names:
            identity = {"group_instance_id": name} if self._static else {}
            self.running[name] = self._workers.start(self._servers, special="free", **identity, **self._settings)
        for name in names:
            await self.running[name].ready()

    async def shared(self) -> None:
        """Wait until those that run have all partitions, each its share."""
        share = PARTITIONS // len(self.running)

        async def even() -> bool:
            counts = [await worker.metric("assigned_partitions") for worker in self.running.values()]
            return sum(counts) == PARTITIONS and min(counts) >= share

        await eventually(even, f"{len(self.running)} workers share {PARTITIONS} partitions")

    async def caught_up(self) -> None:
        """Wait until nearly everything that was produced has come out."""
        await eventually(lambda: self.produced - len(self._sources) <= CAUGHT_UP, "the workers have caught up")

    async def rebalances(self, name: str) -> float:
        """Assignments that a worker has received so far."""
        return await self.running[name].metric("rebalances_total")

    async def produce(self, topic: str, rate: float) -> None:
        """Produce `rate` events a second, the partitions in turn, until cancelled."""
        producer = AIOKafkaProducer(bootstrap_servers=self._servers, linger_ms=0)
        async with producer:
            started_at = time.monotonic()
            while True:
                due = int((time.monotonic() - started_at) * rate)
                while self.produced < due:
                    event = b'{"review_id":%d,"text":"number %d was good"}' % (self.produced, self.produced)
                    await producer.send(topic, event, partition=self.produced % PARTITIONS)
                    self.produced += 1
                await asyncio.sleep(TICK_S)

    async def read(self, topic: str) -> None:
        """Note each output that can be read, until cancelled."""
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self._servers,
            auto_offset_reset="earliest",
            isolation_level="read_committed",
            fetch_max_wait_ms=50,
        )
        async with consumer:
            consumer.assign([TopicPartition(topic, partition) for partition in range(PARTITIONS)])
            while True:
                for partition, records in (await consumer.getmany(timeout_ms=50)).items():
                    now = time.monotonic()
                    for record in records:
                        self.arrivals.append(Arrival(now, partition.partition))
                        self._sources.add(dict(record.headers)["source"])


@asynccontextmanager
async def steady_group(
    servers: str, folder: Path, *names: str, rate: float, static: bool, **settings: object
) -> AsyncIterator[SteadyGroup]:
    """Workers of these names in a group of their own that keeps up with `rate` events a second."""
    unique = f"bench.{uuid.uuid4().hex[:8]}"
    topics = TopicNames(f"{unique}.in", f"{unique}.out", f"{unique}.dlq", unique)
    await kafka_tools.create_topics(servers, topics.input, topics.output, topics.dead_letters, partitions=PARTITIONS)
    async with AsyncExitStack() as stack:
        workers = stack.enter_context(workers_for(topics, folder, show=False))
        group = SteadyGroup(servers, workers, {"commit_interval_s": None, **settings}, static=static)
        await group.start(*names)
        await group.shared()
        tasks = [
            asyncio.create_task(group.read(topics.output)),
            asyncio.create_task(group.produce(topics.input, rate)),
        ]
        try:
            await eventually(lambda: group.produced > rate, "a second of the stream")
            await group.caught_up()
            yield group
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
    await kafka_tools.delete_topics(servers, topics.input, topics.output, topics.dead_letters)
