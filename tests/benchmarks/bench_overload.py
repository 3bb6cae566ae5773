"""``make bench-overload``: producers at ten times the capacity, and a backlog of a million events.

(a) The bundled model, while a producer sends film reviews at ten times what the worker did before, for ``--seconds``.
(b) A backlog of ``--backlog`` events of 300 bytes for a worker whose session costs nothing, until all is out.

Prints what must hold (exit code 1 when it does not), memory over time, and a review's time in the worker beside its
bound; writes ``build/bench/overload.json``.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import kafka_tools
from aiokafka import AIOKafkaProducer
from conftest import TopicNames
from worker_process import WorkerProcess, eventually, workers_for

from tests.benchmarks.bench_stream import review_texts
from tests.benchmarks.machine import machine, table, write_results
from tests.benchmarks.overload import Fact, Limits, Sample, Times, facts, memory_fact, times, watch
from tests.benchmarks.stage import made_events
from worker.devkafka import kafka_cluster
from worker.service.model_loading import CPU_BATCH_REVIEWS, WINDOW_BATCHES
from worker.settings import Settings

PARTITIONS = 6
TIMES_CAPACITY = 10
CAPACITY_REVIEWS = 4000
TICK_S = 0.02
SAMPLES_S = 1.0
SHOWN_SAMPLES = 8


class Overload:
    """One worker and its topics; made by `overloaded`."""

    def __init__(self, servers: str, names: TopicNames, worker: WorkerProcess) -> None:
        self._servers = servers
        self._names = names
        self._stopping = False
        self.worker = worker
        self.samples: list[Sample] = []
        self.sent = 0

    async def fill(self, events: Iterable[bytes]) -> None:
        """Produce as fast as it goes."""
        async with self._producer() as producer:
            for event in events:
                await self._send(producer, event)

    async def produce(self, texts: Sequence[bytes], rate: float, seconds: float) -> None:
        """Produce so many a second, whatever the worker does with them."""
        async with self._producer() as producer:
            started_at, first = time.monotonic(), self.sent
            while (passed := time.monotonic() - started_at) < seconds:
                while self.sent - first < passed * rate:
                    await self._send(producer, texts[self.sent % len(texts)])
                await asyncio.sleep(TICK_S)

    async def out(self) -> int:
        """Records on the output topic."""
        return sum((await kafka_tools.end_offsets(self._servers, self._names.output)).values())

    async def until_out(self, count: int) -> None:
        """Wait until so many outputs are there."""

        async def reached() -> bool:
            assert self.worker.process.poll() is None, self.worker.shown()
            return await self.worker.metric("events_out_total") >= count

        await eventually(reached, f"{count} outputs", float("inf"))

    async def sampled(self, work: Callable[[], object]) -> None:
        """Sample the worker for as long as `work` lasts."""
        watching = asyncio.create_task(watch(self.worker, self.samples, SAMPLES_S))
        try:
            await work()  # type: ignore[misc]
        finally:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)

    async def _send(self, producer: AIOKafkaProducer, event: bytes) -> None:
        await producer.send(self._names.input, event, partition=self.sent % PARTITIONS)
        self.sent += 1

    def _producer(self) -> AIOKafkaProducer:
        return AIOKafkaProducer(
            bootstrap_servers=self._servers, compression_type="zstd", linger_ms=20, max_batch_size=256 * 1024
        )


@asynccontextmanager
async def overloaded(servers: str, *, special: str | None, backlog: Iterable[bytes] = ()) -> AsyncIterator[Overload]:
    """A worker with the default settings, started when the backlog is there."""
    unique = f"bench.{uuid.uuid4().hex[:8]}"
    names = TopicNames(f"{unique}.in", f"{unique}.out", f"{unique}.dlq", unique)
    topics = (names.input, names.output, names.dead_letters)
    await kafka_tools.create_topics(servers, *topics, partitions=PARTITIONS)
    with tempfile.TemporaryDirectory() as folder, workers_for(names, Path(folder), show=False) as workers:
        overload = Overload(servers, names, None)  # type: ignore[arg-type]
        await overload.fill(backlog)
        overload.worker = workers.start(servers, special=special, commit_interval_s=None)
        await overload.worker.ready()
        yield overload
    await kafka_tools.delete_topics(servers, *topics)


def limits() -> Limits:
    """Those of the default settings on a CPU."""
    settings = Settings()
    window = min(WINDOW_BATCHES * CPU_BATCH_REVIEWS, settings.max_in_flight_reviews)
    return Limits(settings.max_in_flight_reviews, settings.max_in_flight_bytes, window)


async def ten_times_the_capacity(servers: str, seconds: float) -> tuple[list[Fact], list[Sample], Times]:
    """Part (a)."""
    texts = [json.dumps({"review_id": number, "text": text}).encode() for number, text in enumerate(review_texts(4000))]
    async with overloaded(servers, special=None, backlog=texts[:CAPACITY_REVIEWS]) as overload:
        started_at, done = time.monotonic(), await overload.worker.metric("events_out_total")
        await overload.until_out(CAPACITY_REVIEWS)
        capacity = (CAPACITY_REVIEWS - done) / (time.monotonic() - started_at)
        rate = TIMES_CAPACITY * capacity
        print(f"\n(a) capacity {capacity:.0f} reviews/s; {rate:.0f} events/s for {seconds:.0f} s", flush=True)
        await overload.sampled(lambda: overload.produce(texts, rate, seconds))
        samples = overload.samples
        found = [*facts(samples, limits()), memory_fact(samples)]
        code = await overload.worker.stopped()
        found.append(Fact("SIGTERM under overload ends with 0", code == 0, f"exit code {code}"))
        full = [each for each in samples if each.count("in_flight_reviews") > limits().max_in_flight_reviews * 0.9]
        return found, samples, times(full if len(full) > 1 else samples, limits())


async def a_large_backlog(servers: str, backlog: int) -> tuple[list[Fact], list[Sample], Times]:
    """Part (b)."""
    async with overloaded(servers, special="free", backlog=made_events(backlog)) as overload:
        print(f"\n(b) {backlog:,} events wait", flush=True)
        await overload.sampled(lambda: overload.until_out(backlog))
        found = [*facts(overload.samples, limits()), memory_fact(overload.samples)]
        out = await overload.out()
        found.append(Fact("everything comes out, once", out == backlog, f"{out:,} outputs"))
        code = await overload.worker.stopped()
        found.append(Fact("SIGTERM ends with 0", code == 0, f"exit code {code}"))
        return found, overload.samples, times(overload.samples[:-1], limits())


def show(title: str, found: Sequence[Fact], samples: Sequence[Sample], measured: Times) -> dict[str, object]:
    """Print the tables of one part; answers its figures."""
    rows = [(fact.name, "yes" if fact.holds else "NO", fact.seen) for fact in found]
    table(f"{title}: what must hold", ("", "holds", "seen"), rows)
    step = max(1, len(samples) // SHOWN_SAMPLES)
    over_time = [
        (
            f"{each.at - samples[0].at:.0f}",
            each.memory_mib,
            int(each.count("in_flight_reviews")),
            int(each.count("events_out_total")),
        )
        for each in samples[::step]
    ]
    table(f"{title}: over time", ("s", "MiB", "in flight", "out"), over_time)
    table(
        f"{title}: time of one review in the worker",
        ("reviews/s, slowest 10 s", "batches/s", "mean s", "p99 s above", "at most", "bound s", "within"),
        [(*measured, measured.within)],
    )
    return {
        "facts": {fact.name: fact.holds for fact in found},
        "memory_mib": [round(each.memory_mib) for each in samples[::step]],
        **measured._asdict(),
    }


async def run(servers: str, parts: str, *, seconds: float, backlog: int) -> bool:
    """Run the parts and write what they found; answers whether everything held."""
    figures: dict[str, object] = {"machine": machine()}
    held = True
    if "a" in parts:
        found, samples, measured = await ten_times_the_capacity(servers, seconds)
        figures["ten_times"] = show("(a) ten times the capacity", found, samples, measured)
        held = held and all(fact.holds for fact in found)
    if "b" in parts:
        found, samples, measured = await a_large_backlog(servers, backlog)
        figures["backlog"] = show(f"(b) a backlog of {backlog:,}", found, samples, measured)
        held = held and all(fact.holds for fact in found)
    print(f"\nwritten to {write_results('overload', figures)}")
    return held


def main() -> int:
    """Start a Kafka, or take the configured one, and measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--parts", default="ab", help="letters of the parts to run")
    parser.add_argument("--seconds", type=float, default=180.0, help="how long to produce ten times too much")
    parser.add_argument("--backlog", type=int, default=1_000_000)
    arguments = parser.parse_args()
    print(machine())
    with kafka_cluster() as cluster:
        held = asyncio.run(
            run(cluster.bootstrap_servers, arguments.parts, seconds=arguments.seconds, backlog=arguments.backlog)
        )
    return 0 if held else 1


if __name__ == "__main__":
    sys.exit(main())
