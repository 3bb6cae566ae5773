"""Where the measured programs play: topics filled in advance, processes, and a count of what comes out."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from tests.metric_samples import samples_of

PARTITIONS = 6
REPOSITORY = Path(__file__).parents[2]
POLL_S = 0.1
WORDS = [
    *("a", "the", "film", "movie", "plot", "story", "scene", "actor", "music", "camera", "ending", "script", "was"),
    *("is", "and", "but", "with", "for", "really", "quite", "very", "not", "never", "good", "bad", "great", "awful"),
    *("boring", "moving", "funny", "flat", "clever", "dull", "loved", "hated", "watch", "again", "first", "last"),
]
_numbers = count()


def made_event(number: int, source: random.Random, size_bytes: int = 300) -> bytes:
    """An event of about `size_bytes`, made of words."""
    text = ""
    while len(text) < size_bytes - 40:
        text += source.choice(WORDS) + " "
    return json.dumps({"review_id": number, "text": text.strip()}).encode()


def made_events(number: int) -> Iterable[bytes]:
    """So many events of about 300 bytes, the same ones each time."""
    source = random.Random(1)
    stock = [made_event(index, source) for index in range(2000)]
    return (stock[index % len(stock)] for index in range(number))


@dataclass
class Subject:
    """A program that runs and is measured."""

    process: subprocess.Popen[bytes]
    output_topic: str
    port: int

    def metrics(self) -> dict[str, float]:
        """All samples at ``/metrics``, by their short names; with labels as in ``seconds_bucket{le=1.0}``."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/metrics") as response:
            text = response.read().decode()
        return samples_of(text)

    def peak_memory_mib(self) -> float:
        """The most memory that the process has had so far."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM")) / 1024

    def cpu_seconds(self) -> float:
        """Processor time that the process has used so far."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@dataclass
class Stage:
    """A broker with clients; made by `open_stage`."""

    bootstrap_servers: str
    admin: AIOKafkaAdminClient
    watcher: AIOKafkaConsumer
    _topics: list[str] = field(default_factory=list)

    async def topic(self, prefix: str, **config: str) -> str:
        """A new topic."""
        name = f"{prefix}-{next(_numbers)}"
        await self.admin.create_topics([NewTopic(name, PARTITIONS, 1, topic_configs=config)])
        self._topics.append(name)
        return name

    async def fill(self, topic: str, events: Iterable[bytes]) -> int:
        """Put events into a topic, keyed so that all partitions get alike; answers how many."""
        producer = AIOKafkaProducer(
            bootstrap_servers=self.bootstrap_servers, compression_type="zstd", linger_ms=20, max_batch_size=256 * 1024
        )
        await producer.start()
        number = 0
        for number, event in enumerate(events, 1):
            await producer.send(topic, event, key=str(number % 997).encode(), partition=number % PARTITIONS)
        await producer.stop()
        return number

    async def count(self, topic: str) -> int:
        """Records in a topic."""
        partitions = [TopicPartition(topic, number) for number in range(PARTITIONS)]
        return sum((await self.watcher.end_offsets(partitions)).values())

    @asynccontextmanager
    async def running(self, name: str, input_topic: str, output_topic: str, **settings: str) -> AsyncIterator[Subject]:
        """Run a subject, in a group of its own, and stop it at the end."""
        port = 20_000 + os.getpid() % 10_000
        environment = {
            **os.environ,
            "KAFKA_BOOTSTRAP_SERVERS": self.bootstrap_servers,
            "REVIEWS_WORKER_INPUT_TOPIC": input_topic,
            "REVIEWS_WORKER_OUTPUT_TOPIC": output_topic,
            "REVIEWS_WORKER_GROUP": f"group-{next(_numbers)}",
            "REVIEWS_WORKER_PORT": str(port),
            **{f"REVIEWS_WORKER_{key.upper()}": value for key, value in settings.items()},
        }
        command = [sys.executable, "-m", "tests.benchmarks.subjects", name]
        process = subprocess.Popen(command, env=environment, cwd=REPOSITORY)  # noqa: ASYNC220 - it is not waited for here
        try:
            yield Subject(process, output_topic, port)
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                await asyncio.to_thread(process.wait, 30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    async def until(self, subject: Subject, reached: Callable[[int], bool]) -> tuple[float, int]:
        """Wait for a number of outputs; answers when it was seen and how many there were then."""
        while True:
            number, now = await self.count(subject.output_topic), time.monotonic()
            if reached(number):
                return now, number
            if subject.process.poll() is not None:
                raise RuntimeError(f"the program ended with {subject.process.returncode} after {number} events")
            await asyncio.sleep(POLL_S)

    async def rate(self, subject: Subject, total: int, warm_up: float = 0.1) -> float:
        """Events a second, from `warm_up` of the total until all of it is out."""
        start, first = await self.until(subject, lambda number: number >= warm_up * total)
        end, last = await self.until(subject, lambda number: number >= total)
        return (last - first) / (end - start)


@asynccontextmanager
async def open_stage(bootstrap_servers: str) -> AsyncIterator[Stage]:
    """Connect the clients; delete the topics at the end."""
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap_servers)
    watcher = AIOKafkaConsumer(bootstrap_servers=bootstrap_servers)
    await admin.start()
    await watcher.start()
    stage = Stage(bootstrap_servers, admin, watcher)
    try:
        yield stage
    finally:
        await admin.delete_topics(stage._topics)
        await watcher.stop()
        await admin.close()
