"""Padding waste and cost of the batch queue under backlog, on real review lengths, and reviews/s of the bundled model.

Run ``python tests/benchmarks/bench_batching.py`` from the repository root; ``--session`` measures the model instead.
The table of ``docs/batching.md`` comes from here.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from entries import make_entry  # noqa: E402
from review_lengths import REVIEWS, lognormal_lengths, review_texts  # noqa: E402

from tests.benchmarks.machine import machine  # noqa: E402
from worker.batching import Batch, BatchLimits, BatchQueue, ShapeLadder  # noqa: E402
from worker.inference import Artifact, SessionOptions, open_session  # noqa: E402
from worker.records import Encoding, Entry  # noqa: E402

CHUNK = 256
REVIEWS_MEASURED = 20_000
PAD_ID = 0

# Padded tokens, reviews, window, ladder for a GPU.
BACKLOGS = [
    *((tokens, 32, window, False) for tokens in (512, 1024, 2048) for window in (32, 64, 128, 256)),
    *((16_384, 256, window, ladder) for window in (512, 1024, 2048, 4096) for ladder in (False, True)),
    *((32_768, 256, window, ladder) for window in (1024, 2048, 4096, 8192) for ladder in (False, True)),
    *((65_536, 512, window, ladder) for window in (2048, 4096, 8192) for ladder in (False, True)),
]
ONE_AT_A_TIME = (1024, 1, 256)
# Padded tokens, reviews, window.
CPU_LIMITS = [
    ONE_AT_A_TIME,
    *((tokens, 32, 256) for tokens in (512, 768, 1024, 1536, 2048, 4096)),
    *((1024, reviews, 256) for reviews in (2, 4, 8)),
    *((1024, 32, window) for window in (16, 64)),
]


@dataclass(frozen=True)
class Backlog:
    """What came of a run through the queue."""

    padding_waste: float
    fill: float
    reviews: float
    shapes: int
    microseconds: float


def entries_of(lengths: list[int]) -> list[Entry]:
    """One partition's entries, in input order, a millisecond apart."""
    return [make_entry(length, arrived_at=number / 1000, offset=number) for number, length in enumerate(lengths)]


def backlog_batches(entries: list[Entry], limits: BatchLimits, in_flight: int) -> Iterator[tuple[Batch, float]]:
    """Every batch of a worker that never runs out of lag, and the processor seconds that the queue took for it.

    Outputs leave in input order: all that arrived behind the oldest waiting entry is in flight, and that is limited.
    What is left in the end is no backlog any more and is not cut.
    """
    queue, computed, oldest, arrived = BatchQueue(limits), set[int](), 0, 0
    while arrived < len(entries):
        started = time.thread_time()
        while arrived - oldest < in_flight and len(queue) < 2 * limits.window_reviews:
            queue.extend(entries[arrived : arrived + CHUNK])
            arrived += CHUNK
        batch = queue.next_batch(0.0)
        seconds = time.thread_time() - started
        assert batch is not None
        computed.update(entry.record.offset for entry in batch.parts)
        while oldest in computed:
            computed.remove(oldest)
            oldest += 1
        yield batch, seconds


def run_backlog(entries: list[Entry], limits: BatchLimits) -> Backlog:
    """Half of what is in flight waits, the other half is done and waits for its turn to leave."""
    batches, seconds = zip(*backlog_batches(entries, limits, in_flight=2 * limits.window_reviews), strict=True)
    padded = sum(batch.padded_tokens for batch in batches)
    reviews = sum(len(batch.parts) for batch in batches)
    return Backlog(
        padding_waste=1 - sum(batch.real_tokens for batch in batches) / padded,
        fill=padded / (limits.max_batch_tokens * len(batches)),
        reviews=reviews / len(batches),
        shapes=len({(batch.rows, batch.length) for batch in batches}),
        microseconds=sum(seconds) / reviews * 1e6,
    )


def print_backlogs(lengths: list[int], max_length: int) -> None:
    entries = entries_of(lengths)
    print("| tokens | reviews | window | ladder | padding waste | fill | reviews a batch | shapes | us an entry |")
    print("|---|---|---|---|---|---|---|---|---|")
    for tokens, reviews, window, ladder in BACKLOGS:
        shapes = ShapeLadder.up_to(max_length, reviews) if ladder else None
        run = run_backlog(entries, BatchLimits(tokens, reviews, window, ladder=shapes))
        print(
            f"| {tokens} | {reviews} | {window} | {'yes' if ladder else 'no'} | {run.padding_waste:.3f}"
            f" | {run.fill:.2f} | {run.reviews:.1f} | {run.shapes} | {run.microseconds:.1f} |",
            flush=True,
        )


def session_batches(encodings: list[Encoding], limits: BatchLimits) -> list[Batch]:
    """Batches of all encodings, cut while the rest waits."""
    queue = BatchQueue(limits)
    for number, encoding in enumerate(encodings):
        entry = make_entry(None, arrived_at=number / 1000, offset=number)
        entry.encoding = encoding
        queue.append(entry)
    batches = []
    while (batch := queue.next_batch(0.0)) is not None:
        batches.append(batch)
    return batches


def print_session(artifact: Artifact, encodings: list[Encoding], threads: int, rounds: int) -> None:
    """Interleaved rounds, so that whatever else the machine does falls on all alike; medians.

    Processor time is in shares of one review at a time; on a busy machine, with one thread, it says most.
    """
    session = open_session(artifact, SessionOptions(provider="cpu", threads=threads))
    session.warm_up()
    plans = {limits: session_batches(encodings, BatchLimits(*limits)) for limits in CPU_LIMITS}
    measured: dict[tuple[int, int, int], list[tuple[float, float]]] = {limits: [] for limits in CPU_LIMITS}
    for _ in range(rounds):
        for limits, batches in plans.items():
            started, busy_before = time.perf_counter(), time.process_time()
            for batch in batches:
                session.predict(*batch.arrays(PAD_ID))
            measured[limits].append((time.perf_counter() - started, time.process_time() - busy_before))
    alone = statistics.median(busy for _, busy in measured[ONE_AT_A_TIME])
    print(f"{len(encodings)} reviews, {rounds} rounds, threads: {threads or 'all'}\n")
    print(
        "| tokens | reviews | window | padding waste | reviews a batch | reviews/s | processor time of one at a time |"
    )
    print("|---|---|---|---|---|---|---|")
    for limits, batches in plans.items():
        tokens, reviews, window = limits
        elapsed = statistics.median(seconds for seconds, _ in measured[limits])
        busy = statistics.median(busy for _, busy in measured[limits])
        waste = 1 - sum(batch.real_tokens for batch in batches) / sum(batch.padded_tokens for batch in batches)
        print(
            f"| {tokens} | {reviews} | {window} | {waste:.3f} | {len(encodings) / len(batches):.1f}"
            f" | {len(encodings) / elapsed:.0f} | {busy / alone:.2f} |"
        )


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--session", action="store_true", help="measure the bundled model instead of the queue")
    parser.add_argument("--threads", type=int, default=0, help="of one inference; 0 takes all cores")
    parser.add_argument("--reviews", type=int, default=512, help="to classify in each round")
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    artifact = Artifact.load(None)
    print(machine())
    if not REVIEWS.exists():
        print("no reviews beside the repository: lengths are made up, and the model is left out")
        print_backlogs(lognormal_lengths(REVIEWS_MEASURED), artifact.max_length)
        return
    encodings = artifact.load_tokeniser().encode_many(review_texts(REVIEWS_MEASURED))
    lengths = [len(encoding.ids) for encoding in encodings]
    print(f"{len(lengths)} reviews, {np.mean(lengths):.0f} tokens in the mean\n")
    if arguments.session:
        print_session(artifact, encodings[: arguments.reviews], arguments.threads, arguments.rounds)
    else:
        print_backlogs(lengths, artifact.max_length)


if __name__ == "__main__":
    main()
