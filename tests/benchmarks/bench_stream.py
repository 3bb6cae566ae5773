"""``make bench``: the whole worker, Kafka to Kafka, beside what one would use instead. All ratios are of one run.

Prints tables and writes ``build/bench/stream.json``. ``--parts abcdef`` chooses, ``--quick`` shortens.
"""

from __future__ import annotations

import argparse
import asyncio
import gzip
import itertools
import json
import random
import statistics
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from tests.benchmarks.cost import stage_costs
from tests.benchmarks.latency import measure_latency
from tests.benchmarks.machine import machine, table, write_results
from tests.benchmarks.stage import Stage, made_event, made_events, open_stage
from worker.batching import Batch
from worker.devkafka import kafka_cluster
from worker.inference import Artifact, SessionOptions, open_session
from worker.records import Entry, Record, TopicPartition

REVIEWS = Path(__file__).parents[3] / "shared" / "imdb" / "train.jsonl.gz"
Figures = dict[str, object]


class Benchmark:
    """The parts of the benchmark, in the order of their letters."""

    def __init__(self, stage: Stage, *, quick: bool) -> None:
        self.stage = stage
        self.scale = 0.2 if quick else 1.0
        self.rounds = 1 if quick else 3

    def size(self, number: int) -> int:
        """A number of events, fewer in a quick run."""
        return int(number * self.scale)

    async def part_a(self) -> Figures:
        """Events a second with a model that costs nothing, beside the bare loops."""
        events = self.size(250_000)
        source = await self.stage.topic("in")
        await self.stage.fill(source, made_events(events))
        totals = {"free": events, "free-session": events, "aiokafka": events, "faust": events // 10}
        rates: dict[str, list[float]] = {name: [] for name in totals}
        for _ in range(self.rounds):
            for name, total in totals.items():
                async with self.stage.running(name, source, await self.stage.topic("out")) as subject:
                    rates[name].append(await self.stage.rate(subject, int(0.98 * total)))
        medians = {name: statistics.median(values) for name, values in rates.items()}
        table(
            "(a) Events a second, 300-byte events, six partitions. free: tokeniser and session cost nothing;"
            " free-session: the real tokeniser before a session that costs nothing",
            ("program", "events/s, median", "lowest", "highest", "free model / this"),
            [
                (name, medians[name], min(rates[name]), max(rates[name]), _ratio(rates["free"], rates[name]))
                for name in rates
            ],
        )
        return {
            "free_model_events_per_s": medians["free"],
            "free_session_events_per_s": medians["free-session"],
            "free_session_vs_faust": _ratio(rates["free-session"], rates["faust"]),
            "free_session_vs_aiokafka": _ratio(rates["free-session"], rates["aiokafka"]),
            "aiokafka_events_per_s": medians["aiokafka"],
            "faust_events_per_s": medians["faust"],
            "free_model_vs_faust": _ratio(rates["free"], rates["faust"]),
            "free_model_vs_aiokafka": _ratio(rates["free"], rates["aiokafka"]),
        }

    async def part_b(self) -> Figures:
        """Reviews a second end to end beside the bare session; and the padding under that backlog (c)."""
        texts = review_texts(self.size(4000))
        source = await self.stage.topic("in")
        await self.stage.fill(source, (json.dumps({"review_id": n, "text": t}).encode() for n, t in enumerate(texts)))
        session_rates, worker_rates, wastes = [], [], []
        for _ in range(self.rounds):
            session_rates.append(await asyncio.to_thread(session_rate, texts))
            async with self.stage.running("worker", source, await self.stage.topic("out")) as subject:
                worker_rates.append(await self.stage.rate(subject, len(texts), warm_up=0.05))
                metrics = await asyncio.to_thread(subject.metrics)
                wastes.append(1 - metrics["real_tokens_total"] / metrics["padded_tokens_total"])
        ratio = _ratio(worker_rates, session_rates)
        table(
            f"(b) Bundled model, {len(texts):,} reviews, reviews a second",
            ("", "median", "lowest", "highest"),
            [
                ("end to end, Kafka to Kafka", *_spread(worker_rates)),
                ("bare session, sorted perfectly", *_spread(session_rates)),
                ("ratio", ratio, "", ""),
                ("(c) padding waste under that backlog", *_spread(wastes)),
            ],
        )
        return {
            "end_to_end_reviews_per_s": statistics.median(worker_rates),
            "session_reviews_per_s": statistics.median(session_rates),
            "end_to_end_vs_session": ratio,
            "padding_waste": statistics.median(wastes),
        }

    async def part_d(self) -> Figures:
        """Time in the worker at shares of its capacity."""
        return await measure_latency(self.stage, review_texts(self.size(4000)), seconds=self.scale * 30)

    async def part_e(self) -> Figures:
        """Peak memory with a small backlog and with a large one."""
        texts = review_texts(self.size(4000))
        reviews = [json.dumps({"review_id": number, "text": text}).encode() for number, text in enumerate(texts)]
        rows = []
        for repeats in (1, 5):
            backlog = repeats * len(reviews)
            peak = await self._peak("worker", backlog, itertools.chain.from_iterable([reviews] * repeats))
            rows.append(("the bundled one, reviews", backlog, peak))
        for backlog in (10_000, self.size(1_000_000)):
            peak = await self._peak("free", backlog, made_events(backlog))
            rows.append(("costs nothing, 300-byte events", backlog, peak))
        table("(e) Peak memory of the worker", ("model", "backlog", "MiB"), rows)
        names = ("memory_bundled_small_mib", "memory_bundled_large_mib", "memory_10k_mib", "memory_1m_mib")
        return dict(zip(names, (peak for _, _, peak in rows), strict=True))

    async def _peak(self, subject_name: str, backlog: int, events: Iterable[bytes]) -> float:
        """MiB at most while a subject works through a backlog."""
        source = await self.stage.topic("in")
        await self.stage.fill(source, events)
        async with self.stage.running(subject_name, source, await self.stage.topic("out")) as subject:
            await self.stage.until(subject, lambda number: number >= backlog)
            return subject.peak_memory_mib()

    async def part_f(self) -> Figures:
        """What one event costs at each stage."""
        source = random.Random(1)
        events = [made_event(number, source) for number in range(self.size(20_000))]
        costs = await stage_costs(events)
        rows = [*costs.items(), ("sum", sum(costs.values()))]
        table("(f) Processor time of one 300-byte event at each stage, microseconds", ("stage", "us"), rows)
        return {f"cost_{name.replace(' ', '_').replace(',', '')}_us": cost for name, cost in rows}


def review_texts(number: int) -> list[str]:
    """Real reviews where they lie beside the repository, otherwise made ones of like lengths."""
    if REVIEWS.exists():
        with gzip.open(REVIEWS, "rt", encoding="utf-8") as lines:
            texts = [json.loads(line)["text"] for line in lines]
        return random.Random(1).sample(texts, number)
    print("no reviews beside the repository: texts are made up")
    source = random.Random(1)
    return [json.loads(made_event(n, source, int(source.lognormvariate(7.0, 0.6))))["text"] for n in range(number)]


def session_rate(texts: Sequence[str]) -> float:
    """Reviews a second of the session alone, batches as the worker's limits have them, sorted perfectly."""
    artifact = Artifact.load(None)
    session = open_session(artifact, SessionOptions())
    session.warm_up()
    tokeniser = artifact.load_tokeniser()
    record = Record(TopicPartition("bench", 0), 0, 0, None, b"", (), 0)
    encodings = sorted(tokeniser.encode_many(texts), key=len)
    entries = [Entry(record, encoding, False, 0.0, 0.0) for encoding in encodings]
    batches, group = [], []
    for entry in entries:
        if group and (len(group) + 1) * len(entry.encoding.ids) > limits_of_cpu():
            batches.append(Batch(group))
            group = []
        group.append(entry)
    batches.append(Batch(group))
    started_at = time.perf_counter()
    for batch in batches:
        session.predict(*batch.arrays(tokeniser.pad_id))
    return len(texts) / (time.perf_counter() - started_at)


def limits_of_cpu() -> int:
    """The token budget that the worker would use here."""
    from worker.service.model_loading import CPU_BATCH_TOKENS

    return CPU_BATCH_TOKENS


def _ratio(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """Median of the ratios of rounds that ran side by side."""
    return float(np.median([one / other for one, other in zip(ours, theirs, strict=True)]))


def _spread(values: Sequence[float]) -> tuple[float, float, float]:
    return statistics.median(values), min(values), max(values)


async def run(parts: str, bootstrap_servers: str, *, quick: bool) -> None:
    """Run the parts and write what they found."""
    async with open_stage(bootstrap_servers) as stage:
        benchmark = Benchmark(stage, quick=quick)
        for letter in parts:
            figures = await getattr(benchmark, f"part_{letter}")()
            path = write_results("stream", {**figures, "machine": machine()})
    print(f"\nwritten to {path}")


def main() -> None:
    """Start a Kafka, or take the configured one, and measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--parts", default="abdef", help="letters of the parts to run; b measures c too")
    parser.add_argument("--quick", action="store_true", help="a fifth of the events, one round")
    arguments = parser.parse_args()
    print(machine())
    with kafka_cluster() as cluster:
        asyncio.run(run(arguments.parts, cluster.bootstrap_servers, quick=arguments.quick))


if __name__ == "__main__":
    main()
