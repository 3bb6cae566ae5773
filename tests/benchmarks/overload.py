"""A worker that has more to do than it can: what is seen of it meanwhile, and what must hold."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from worker_process import WorkerProcess

FLAT = 1.15
"""Memory is flat when it grows by no more than this after the first part of the run."""
SETTLED = 0.3
"""That first part, in which buffers, pools and caches fill up."""
SPAN_S = 10.0
"""The shortest time that a rate is taken over."""
LATE_GROUP_S = 0.05
"""What a done review may wait for the next group of outputs (`worker.delivery.lane`)."""


STORED = ("commits_total{outcome=stored}", "transactions_total{outcome=committed}")
NOT_STORED = (
    *(f"commits_total{{outcome={outcome}}}" for outcome in ("failed", "stale")),
    *(f"transactions_total{{outcome={outcome}}}" for outcome in ("failed", "fenced")),
)


class Sample(NamedTuple):
    """What was seen at one moment."""

    at: float
    """Monotonic seconds."""
    ready: int
    """What ``/readyz`` answered."""
    alive: int
    """What ``/healthz`` answered."""
    memory_mib: float
    metrics: Mapping[str, float]

    def count(self, name: str) -> float:
        """A metric; 0 when there is none yet."""
        return self.metrics.get(name, 0.0)


class Limits(NamedTuple):
    """The settings that bound a worker."""

    max_in_flight_reviews: int
    max_in_flight_bytes: int
    window_reviews: int


class Fact(NamedTuple):
    """Something that must hold, whatever the machine."""

    name: str
    holds: bool
    seen: str


async def watch(worker: WorkerProcess, samples: list[Sample], interval_s: float) -> None:
    """Add a sample every `interval_s`, until cancelled."""
    while True:
        samples.append(await sample(worker))
        await asyncio.sleep(interval_s)


async def sample(worker: WorkerProcess) -> Sample:
    """Look once."""
    ready, _ = await worker.get("/readyz")
    alive, _ = await worker.get("/healthz")
    return Sample(time.monotonic(), ready, alive, worker.memory_mib(), await worker.metrics())


def facts(samples: Sequence[Sample], limits: Limits) -> list[Fact]:
    """What must hold of all samples of one run."""
    first, last = samples[0], samples[-1]
    reviews = max(each.count("in_flight_reviews") for each in samples)
    size = max(each.count("in_flight_bytes") for each in samples)
    not_ready = sum(each.ready != 200 for each in samples)
    not_alive = sum(each.alive != 200 for each in samples)
    stored = sum(last.count(name) - first.count(name) for name in STORED)
    others = sum(last.count(name) for name in NOT_STORED)
    return [
        Fact("one rebalance, the first", last.count("rebalances_total") == 1, f"{last.count('rebalances_total'):g}"),
        Fact("/readyz stays at 200", not not_ready, f"{not_ready} of {len(samples)} answers were something else"),
        Fact("/healthz stays at 200", not not_alive, f"{not_alive} of {len(samples)} answers were something else"),
        Fact("reviews in flight are bounded", reviews <= limits.max_in_flight_reviews, f"{reviews:g} at most"),
        Fact("bytes in flight are bounded", size <= limits.max_in_flight_bytes, f"{size:g} at most"),
        Fact("commits go on", stored > 0 and not others, f"{stored:g} stored, {others:g} failed or stale"),
    ]


def memory_fact(samples: Sequence[Sample]) -> Fact:
    """Whether memory is flat once the worker is warm; for runs that are long enough to tell."""
    settled = samples[int(len(samples) * SETTLED) :]
    third = max(1, len(settled) // 3)
    early = statistics.median(each.memory_mib for each in settled[:third])
    late = statistics.median(each.memory_mib for each in settled[-third:])
    highest = max(each.memory_mib for each in samples)
    seen = f"{early:.0f} MiB, then {late:.0f} MiB, {highest:.0f} MiB at most"
    return Fact("memory is flat", late <= early * FLAT, seen)


class Times(NamedTuple):
    """How long a review was in the worker (``reviews_worker_worker_seconds``), and how long it may be."""

    reviews_per_s: float
    """In the slowest `SPAN_S`."""
    batches_per_s: float
    mean_s: float
    p99_above_s: float
    """The lower edge of the histogram's bucket in which the 99th percentile lies."""
    p99_most_s: float
    """The upper edge."""
    bound_s: float

    @property
    def within(self) -> str:
        """Whether the 99th percentile keeps to the bound, as far as the histogram tells."""
        if self.p99_most_s <= self.bound_s:
            return "yes"
        return "NO" if self.p99_above_s > self.bound_s else "in the bucket of the bound"


def times(samples: Sequence[Sample], limits: Limits) -> Times:
    """A review's time in the worker between the first sample and the last, which are of a worker under full load."""
    first, last = samples[0], samples[-1]
    reviews, batches = (slowest(samples, name) for name in ("events_out_total", "batches_total"))
    seconds, count = (
        last.count(f"worker_seconds_{name}") - first.count(f"worker_seconds_{name}") for name in ("sum", "count")
    )
    above, most = percentile(first.metrics, last.metrics, "worker_seconds", 0.99)
    _, publish = percentile(first.metrics, last.metrics, "publish_seconds", 0.99)
    bound = bound_s(limits, reviews, batches) + publish
    return Times(reviews, batches, seconds / count, above, most, bound)


def slowest(samples: Sequence[Sample], name: str) -> float:
    """The lowest rate of a counter over `SPAN_S` or more; over all where there is less."""
    rates = []
    for start, before in enumerate(samples):
        after = next((each for each in samples[start:] if each.at - before.at >= SPAN_S), None)
        if after is not None:
            rates.append((after.count(name) - before.count(name)) / (after.at - before.at))
    first, last = samples[0], samples[-1]
    return min(rates, default=(last.count(name) - first.count(name)) / (last.at - first.at))


def bound_s(limits: Limits, reviews_per_s: float, batches_per_s: float) -> float:
    """How long the batcher may keep a review of an input in order of time, in seconds: (N - W) / R + 2 W / B.

    At most N reviews are in flight (`max_in_flight_reviews`), and a batch is cut from the W oldest that wait
    (`batch_window_reviews`). So nothing younger overtakes a review until it is one of those: at R reviews a second,
    N - W are done by then. From then on each second batch at least is cut around the oldest (see
    `worker.batching.queue`), so that of B batches a second at most 2 W come before its own. Then it waits for the
    next group of outputs.
    """
    outside = max(0, limits.max_in_flight_reviews - limits.window_reviews)
    return outside / reviews_per_s + 2 * limits.window_reviews / batches_per_s + LATE_GROUP_S


def percentile(before: Mapping[str, float], after: Mapping[str, float], name: str, share: float) -> tuple[float, float]:
    """The edges of the bucket in which a share of a histogram's observations between two scrapes ends."""
    prefix = f"{name}_bucket{{le="
    counts = sorted(
        (float(key[len(prefix) : -1]), value - before.get(key, 0.0))
        for key, value in after.items()
        if key.startswith(prefix)
    )
    wanted = share * counts[-1][1]
    index = next(index for index, (_, count) in enumerate(counts) if count >= wanted)
    return counts[index - 1][0] if index else 0.0, counts[index][0]
