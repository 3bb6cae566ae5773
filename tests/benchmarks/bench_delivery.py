"""``make bench-delivery``: what exactly once costs. The same worker under both guarantees, alternating, side by side.

Prints a table and writes ``build/bench/delivery.json``. ``--quick`` shortens, ``--rounds`` repeats.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import time

from tests.benchmarks.bench_stream import review_texts, scrape
from tests.benchmarks.machine import machine, table, write_results
from tests.benchmarks.stage import Stage, Subject, made_events, open_stage
from worker.devkafka import kafka_cluster

GUARANTEES = ("at_least_once", "exactly_once")
POLL_S = 0.1
WARM_UP = 0.1


async def rate(subject: Subject, total: int) -> tuple[float, float]:
    """Events a second from a tenth of `total` to all of it, and the processor seconds of a million of them.

    Asks the worker, not the topic: the end offsets of a topic count transaction markers too.
    """
    first: tuple[float, float, float] | None = None
    while True:
        try:
            done = (await asyncio.to_thread(scrape, subject.port))["events_out_total"]
        except OSError:
            done = 0.0  # it starts
        now, cpu_s = time.monotonic(), subject.cpu_seconds()
        if first is None and done >= WARM_UP * total:
            first = now, done, cpu_s
        if done >= total and first is not None:
            events = max(1.0, done - first[1])
            return events / (now - first[0]), (cpu_s - first[2]) / events * 1e6
        if subject.process.poll() is not None:
            raise RuntimeError(f"the worker ended with {subject.process.returncode} after {done:.0f} events")
        await asyncio.sleep(POLL_S)


async def compare(stage: Stage, name: str, source: str, total: int, rounds: int) -> dict[str, list[float]]:
    """Rates under each guarantee, taken in turns."""
    rates: dict[str, list[float]] = {guarantee: [] for guarantee in GUARANTEES}
    costs: dict[str, list[float]] = {guarantee: [] for guarantee in GUARANTEES}
    for number in range(rounds):
        for guarantee in GUARANTEES if number % 2 == 0 else reversed(GUARANTEES):
            output = await stage.topic("out")
            async with stage.running(name, source, output, processing_guarantee=guarantee) as subject:
                events_per_s, cost_us = await rate(subject, total)
                rates[guarantee].append(events_per_s)
                costs[guarantee].append(cost_us)
    table(
        f"{'Bundled model, real reviews' if name == 'worker' else 'Model that costs nothing, 300-byte events'}:"
        f" {total:,} events, six partitions, {rounds} rounds",
        ("guarantee", "events/s, median", "lowest", "highest", "us of processor for an event"),
        [
            (each, statistics.median(rates[each]), min(rates[each]), max(rates[each]), statistics.median(costs[each]))
            for each in GUARANTEES
        ],
    )
    return rates


def ratio(rates: dict[str, list[float]]) -> float:
    """Median of the ratios of rounds that ran side by side."""
    pairs = zip(rates["exactly_once"], rates["at_least_once"], strict=True)
    return statistics.median(exactly / at_least for exactly, at_least in pairs)


async def run(bootstrap_servers: str, *, quick: bool, rounds: int) -> None:
    """Measure both models and write what was found."""
    scale = 0.2 if quick else 1.0
    async with open_stage(bootstrap_servers) as stage:
        texts = review_texts(int(4000 * scale))
        reviews = await stage.topic("in")
        await stage.fill(reviews, (json.dumps({"review_id": n, "text": t}).encode() for n, t in enumerate(texts)))
        free = await stage.topic("in")
        events = await stage.fill(free, made_events(int(600_000 * scale)))
        bundled_rates = await compare(stage, "worker", reviews, len(texts), rounds)
        free_rates = await compare(stage, "free", free, events, rounds)
    figures = {
        "exactly_once_vs_at_least_once": ratio(bundled_rates),
        "exactly_once_vs_at_least_once_free_model": ratio(free_rates),
        "bundled": bundled_rates,
        "free": free_rates,
        "machine": machine(),
    }
    print(
        f"\nexactly once / at least once: bundled model {ratio(bundled_rates):.3f}, free model {ratio(free_rates):.3f}"
    )
    print(f"written to {write_results('delivery', figures)}")


def main() -> None:
    """Start a Kafka, or take the configured one, and measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a fifth of the events")
    parser.add_argument("--rounds", type=int, default=3, help="repetitions, alternating")
    arguments = parser.parse_args()
    print(machine())
    with kafka_cluster() as cluster:
        asyncio.run(run(cluster.bootstrap_servers, quick=arguments.quick, rounds=arguments.rounds))


if __name__ == "__main__":
    main()
