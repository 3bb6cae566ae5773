"""Mutated events through a real broker and a real worker process, and a verdict on each of them."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import kafka_tools
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord, TopicPartition
from conftest import TopicNames
from raw_headers import raw, raw_names
from worker_process import WorkerProcess, eventually, workers_for

from tests.fuzz.judging import Published, faults
from tests.fuzz.mutations import Fuzzer, FuzzEvent

PARTITIONS = 4
ROOM_BYTES = 12_000_000
"""What the topics take: an event of 10 MB and its headers."""
SENT_AT_ONCE = 1000
NEVER = 1_000_000_000
PATIENCE_S = 120.0
SHOWN = 20


@dataclass
class Report:
    """What became of the events; `wrong` is empty when all is well."""

    events: int
    seed: int
    seconds: float = 0.0
    peak_mib: float = 0.0
    outcomes: Counter[tuple[str, str]] = field(default_factory=Counter)
    """By kind of event and outcome."""
    wrong: list[str] = field(default_factory=list)

    @property
    def by_outcome(self) -> Counter[str]:
        """How many were classified, passed through, or dead for each reason."""
        counts: Counter[str] = Counter()
        for (_, outcome), count in self.outcomes.items():
            counts[outcome] += count
        return counts


class Run:
    """One worker and its topics; the event of a number is at a place that follows from the number."""

    def __init__(self, servers: str, names: TopicNames, fuzzer: Fuzzer, report: Report) -> None:
        self._servers = servers
        self._names = names
        self._fuzzer = fuzzer
        self.report = report
        self._seen = bytearray(report.events)
        self._left = report.events
        self._moved_at = time.monotonic()

    async def produce(self) -> None:
        """Produce all events, each to its place."""
        producer = AIOKafkaProducer(
            bootstrap_servers=self._servers,
            acks="all",
            enable_idempotence=True,
            linger_ms=20,
            max_batch_size=256 * 1024,
            max_request_size=ROOM_BYTES,
        )
        async with producer:
            for start in range(0, self.report.events, SENT_AT_ONCE):
                numbers = range(start, min(start + SENT_AT_ONCE, self.report.events))
                sending = [await self._send(producer, number, self._fuzzer.event(number)) for number in numbers]
                for number, place in zip(numbers, await asyncio.gather(*sending), strict=True):
                    assert number_at(place.partition, place.offset) == number

    async def judge(self, topic: str) -> None:
        """Read one of the two topics and judge every record, until every event is seen."""
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self._servers,
            auto_offset_reset="earliest",
            fetch_max_wait_ms=100,
            enable_auto_commit=False,
        )
        async with consumer:
            consumer.assign([TopicPartition(topic, partition) for partition in range(PARTITIONS)])
            while self._left:
                for records in (await consumer.getmany(timeout_ms=200)).values():
                    for record in records:
                        self._judge_one(record)
                    await asyncio.sleep(0)

    async def watch(self, worker: WorkerProcess) -> None:
        """Return when all is judged, when nothing has come for long, or when the worker has ended."""
        await eventually(
            lambda: (
                not self._left or worker.process.poll() is not None or time.monotonic() - self._moved_at > PATIENCE_S
            ),
            "the end",
            float("inf"),
        )
        if worker.process.poll() is not None:
            self.report.wrong.append(f"the worker has ended with {worker.process.returncode}")

    def lost(self) -> list[str]:
        """The first events that came out nowhere."""
        missing = [number for number, times in enumerate(self._seen) if not times][:SHOWN]
        return [f"event {number} ({self._fuzzer.event(number).kind}) came out nowhere" for number in missing]

    async def _send(
        self, producer: AIOKafkaProducer, number: int, event: FuzzEvent
    ) -> asyncio.Future[kafka_tools.RecordMetadata]:
        # A batch of its own, since aiokafka's `send` refuses a record without key and value, which Kafka takes.
        if event.key is None and event.value is None:
            batch = producer.create_batch()
            batch.append(key=None, value=None, timestamp=event.timestamp_ms, headers=raw(event.headers))
            batch.close()
            sending = await producer.send_batch(batch, self._names.input, partition=number % PARTITIONS)
        else:
            sending = await producer.send(
                self._names.input,
                event.value,
                event.key,
                partition=number % PARTITIONS,
                timestamp_ms=event.timestamp_ms,
                headers=raw(event.headers) or None,
            )
        return sending  # type: ignore[no-any-return]

    def _judge_one(self, record: ConsumerRecord) -> None:
        is_dead_letter = record.topic == self._names.dead_letters
        number = number_of(record, is_dead_letter=is_dead_letter)
        event = self._fuzzer.event(number)
        published = Published(is_dead_letter, record.key, record.value, record.headers, record.timestamp)
        self.report.wrong += [f"event {number}: {fault}" for fault in faults(event, "text", published)]
        self.report.outcomes[event.kind, published.outcome] += 1
        self._moved_at = time.monotonic()
        if self._seen[number]:
            self.report.wrong.append(f"event {number} ({event.kind}) came out twice")
            return
        self._seen[number] = 1
        self._left -= 1


def number_at(partition: int, offset: int) -> int:
    """The number of the event at this place of the input topic."""
    return offset * PARTITIONS + partition


def number_of(record: ConsumerRecord, *, is_dead_letter: bool) -> int:
    """The number of the event that a record on an output topic comes of; the last header of a name is the worker's."""
    headers = dict(record.headers)
    if is_dead_letter:
        return number_at(*(int(headers[f"__streams.errors.{name}"]) for name in ("partition", "offset")))
    _, partition, offset = headers["source"].decode().rsplit("/", 2)
    return number_at(int(partition), int(offset))


async def fuzz(
    servers: str,
    names: TopicNames,
    folder: Path,
    *,
    events: int,
    seed: int,
    huge_every: int,
    special: str | None = None,
) -> Report:
    """Produce, let a worker loose on it, and judge. `special` is a model of ``special_worker.py`` to use instead."""
    topics = (names.input, names.output, names.dead_letters)
    config = {"max.message.bytes": str(ROOM_BYTES), "retention.ms": "-1"}
    await kafka_tools.create_topics(servers, *topics, partitions=PARTITIONS, config=config)
    run = Run(servers, names, Fuzzer(seed, huge_every=huge_every), Report(events, seed))
    report = run.report
    # Half of the events are dead letters, and that is right.
    fuse_off = {"fuse_share": 1, "fuse_window_reviews": NEVER, "fuse_run_length": NEVER}
    with workers_for(names, folder, show=False) as workers:
        worker = await workers.start(servers, special=special, **fuse_off).ready()
        started_at = time.monotonic()
        judging = [asyncio.create_task(run.judge(topic)) for topic in topics[1:]]
        watching = asyncio.create_task(run.watch(worker))
        try:
            with raw_names():
                await run.produce()
            await watching
        finally:
            for task in (watching, *judging):
                task.cancel()
            await asyncio.gather(watching, *judging, return_exceptions=True)
        report.seconds = time.monotonic() - started_at
        report.wrong += run.lost()
        if worker.process.poll() is None:
            report.peak_mib = worker.peak_memory_mib()
            report.wrong += await _end(servers, names, worker)
    return report


async def _end(servers: str, names: TopicNames, worker: WorkerProcess) -> list[str]:
    """Stop the worker; what is wrong with how it lived and how it ended."""
    wrong = []
    status, text = await worker.get("/healthz")
    if status != 200:
        wrong.append(f"/healthz answers {status}: {text}")
    if await worker.metric("rebalances_total") != 1:
        wrong.append("there was a rebalance")
    code = await worker.stopped()
    if code != 0:
        wrong.append(f"the worker ended with {code} when it was told to stop")
    if "Traceback" in worker.output:
        wrong.append(f"its log has a traceback:\n{worker.shown()}")
    committed = await kafka_tools.committed_offsets(servers, names.group)
    if committed != await kafka_tools.end_offsets(servers, names.input):
        wrong.append(f"committed is {committed}, which is not the end")
    return wrong
