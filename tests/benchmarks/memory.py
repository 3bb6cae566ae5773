"""Loads that take memory in different ways, and the most that a worker takes under each."""

from __future__ import annotations

import asyncio
import itertools
import os
import random
import signal
from collections.abc import Callable, Iterator
from typing import NamedTuple

import kafka_tools
from aiokafka import AIOKafkaProducer
from conftest import TopicNames
from worker_process import Gate, WorkerProcess, Workers

BLOCK = os.urandom(1 << 22)
MOST_PRODUCED_BYTES = 96 * 1024 * 1024
"""Of one load, uncompressed: more than may be in flight."""
BATCH_BYTES = 512 * 1024
POLL_S = 0.05
STILL = 40
"""Looks in a row that see the same."""

Record = tuple[bytes | None, bytes, list[tuple[str, bytes]]]
"""Key, value, headers."""


class Load(NamedTuple):
    """Records of one kind."""

    name: str
    make: Callable[[random.Random], Record]
    size_bytes: int
    """Of one record, about."""
    compression: str | None = None
    batch_bytes: int = BATCH_BYTES
    """Of one batch, uncompressed."""
    total_bytes: int = MOST_PRODUCED_BYTES
    bound_mib: int = 150


class Seen(NamedTuple):
    """What one worker took."""

    records: int
    idle_mib: float
    peak_mib: float
    in_flight_mib: float

    @property
    def above_idle_mib(self) -> float:
        return self.peak_mib - self.idle_mib


def noise(source: random.Random, size_bytes: int) -> bytes:
    """Bytes that do not compress."""
    start = source.randrange(len(BLOCK) - size_bytes)
    return BLOCK[start : start + size_bytes]


def event(text: bytes, **more: bytes) -> bytes:
    members = b"".join(b',"%s":"%s"' % (name.encode(), value) for name, value in more.items())
    return b'{"text":"%s"%s}' % (text, members)


def plain(source: random.Random) -> Record:
    return b"key", event(noise(source, 480).hex().encode()), []


def big_headers(source: random.Random) -> Record:
    return b"key", event(b"it was good"), [("trace", noise(source, 100_000))]


def many_headers(source: random.Random) -> Record:
    return b"key", event(b"it was good"), [(f"h{number}", noise(source, 4)) for number in range(5_000)]


def big_keys(source: random.Random) -> Record:
    return noise(source, 100_000), event(b"it was good"), []


def big_values(source: random.Random) -> Record:
    return b"key", event(b"it was good", blob=noise(source, 300_000).hex().encode()), []


def largest_values(source: random.Random) -> Record:
    return b"key", event(noise(source, 450_000).hex().encode()), []


def repeating(source: random.Random) -> Record:
    return b"key", event(b"so good, " * 1100 + noise(source, 16).hex().encode()), []


def blank(source: random.Random) -> Record:
    return b"key", event(b"it was good", blob=b" " * 900_000), []


LOADS = (
    Load("reviews of 1 kB", plain, 1_000, total_bytes=32 << 20),
    Load("headers of 100 kB", big_headers, 100_000),
    Load("5,000 small headers", many_headers, 60_000),
    Load("keys of 100 kB", big_keys, 100_000),
    Load("values of 600 kB", big_values, 600_000),
    Load("texts of 900 kB", largest_values, 900_000),
    Load("values of 10 kB, 100:1", repeating, 10_000, "zstd", 1 << 20, 256 << 20, 250),
    Load("batches of 32 MiB from little, values of 10 kB", repeating, 10_000, "zstd", 32 << 20, 512 << 20, 250),
    Load("batches of 32 MiB from little, values of 900 kB", blank, 900_000, "zstd", 32 << 20, 512 << 20, 250),
)


async def fill(servers: str, topic: str, partitions: int, load: Load) -> int:
    """Produce a load, batch by batch, to all partitions in turn; answers how many records."""
    source = random.Random(7)
    records = 0
    async with AIOKafkaProducer(
        bootstrap_servers=servers,
        compression_type=load.compression,
        max_batch_size=2 * load.batch_bytes,
        max_request_size=4 * load.batch_bytes,
    ) as producer:
        for partition in itertools.islice(itertools.cycle(range(partitions)), max(partitions, _batches(load))):
            batch = producer.create_batch()
            for key, value, headers in _records(load, source):
                assert batch.append(key=key, value=value, timestamp=None, headers=headers) is not None
                records += 1
            batch.close()
            await (await producer.send_batch(batch, topic, partition=partition))
    return records


def _batches(load: Load) -> int:
    return -(-load.total_bytes // load.batch_bytes)


def _records(load: Load, source: random.Random) -> Iterator[Record]:
    return (load.make(source) for _ in range(max(1, load.batch_bytes // load.size_bytes)))


async def measured(
    servers: str, names: TopicNames, workers: Workers, load: Load, partitions: int, **settings: object
) -> Seen:
    """Start a worker, have it read one load that waits already, and answer what it took.

    Its model answers only when nothing more can come in, so that all that may wait somewhere does.
    """
    config = {"max.message.bytes": str(64 << 20)}
    await kafka_tools.create_topics(
        servers, names.input, names.output, names.dead_letters, partitions=partitions, config=config
    )
    patient = {"session_timeout_s": 600, "start_timeout_s": 600}  # it stands still while the load is produced
    given = {"commit_interval_s": None, "fuse_share": 1, "fuse_run_length": 10**9, **patient, **settings}
    gate = Gate(workers.folder / "gate")
    worker = await workers.start(servers, special="gated", variables=gate.variables, **given).ready()
    await worker.reaches("assigned_partitions", partitions)
    idle_mib = worker.memory_mib()
    worker.send(signal.SIGSTOP)  # it is to find everything there
    records = await fill(servers, names.input, partitions, load)
    worker.send(signal.SIGCONT)
    in_flight = await _full(worker, records)
    gate.open()
    while await _done(worker) < records:
        in_flight = max(in_flight, await worker.metric("in_flight_bytes"))
        await asyncio.sleep(POLL_S)
    peak_mib = worker.peak_memory_mib()
    assert await worker.stopped() == 0, worker.shown()
    await kafka_tools.delete_topics(servers, names.input, names.output, names.dead_letters)
    return Seen(records, idle_mib, peak_mib, in_flight / (1 << 20))


async def _full(worker: WorkerProcess, records: int) -> float:
    """Wait until nothing more comes in; answers the bytes in flight."""
    seen: list[tuple[float, ...]] = []
    while len(seen) < STILL or len(set(seen[-STILL:])) > 1 or not seen[-1][0]:
        metrics = await worker.metrics()
        seen.append((metrics.get("events_in_total", 0), metrics.get("in_flight_bytes", 0)))
        if seen[-1][0] == records:
            break
        await asyncio.sleep(POLL_S)
    return seen[-1][1]


async def _done(worker: WorkerProcess) -> float:
    metrics = await worker.metrics()
    return sum(value for name, value in metrics.items() if name.startswith(("events_out_total", "dead_letters_total")))
