"""``python -m tests.benchmarks.bench_tracing``: what tracing costs a review, off, on and sampled.

In processor time of the whole process, over the stages that know of tracing: records prepared, outputs written,
acknowledgements counted. Spans go nowhere.
"""

from __future__ import annotations

import gc
import os
import random
import statistics
import sys
import time
from collections.abc import Callable, Sequence

from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

from tests.benchmarks.stage import made_event
from worker.clock import SystemClock
from worker.delivery.dead_letters import DeadLetterFuse
from worker.delivery.outcomes import Outcomes
from worker.delivery.outputs import Destination, OutputWriter, Partitioner
from worker.events import EventCodec, ResultWriter
from worker.inference import Artifact
from worker.metrics import Metrics
from worker.preparation import RecordPreparer
from worker.records import Entry, Prediction, Record, TopicPartition
from worker.tracing import Tracing
from worker.tracing.export import Export
from worker.tracing.spans import ReviewSpans

CHUNK = 256
ROUNDS = 7
PARTITION = TopicPartition("bench", 0)
CONTEXT = ("traceparent", b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")


class Nowhere(SpanExporter):
    """Takes every span and forgets it."""

    def export(self, spans: object) -> SpanExportResult:
        return SpanExportResult.SUCCESS


class Owner:
    """An assignment that goes on for ever."""

    closed = False

    def acknowledged(self, partition: TopicPartition, entries: Sequence[Entry]) -> None:
        """Nothing is committed here."""

    def committed(self, partition: TopicPartition) -> int:
        return 0


class Stages:
    """The worker's own, from a record to its acknowledgement, without session and broker."""

    def __init__(self, tracing: Tracing | None) -> None:
        clock, metrics = SystemClock(), Metrics()
        codec = EventCodec("text", "sentiment", 1_000_000)
        self._clock, self._tracing = clock, tracing
        self._preparer = RecordPreparer(codec, Artifact.load(None).load_tokeniser(), clock, metrics)
        writer = OutputWriter(
            codec=codec,
            results=ResultWriter(("neg", "pos"), "bench@1"),
            partitioner=Partitioner(6),
            output=Destination("out", 6, 1_000_000),
            dead_letters=Destination("dead", 6, 1_000_000),
            clock=clock,
            tracing=tracing,
        )
        self._outcomes = Outcomes(
            writer=writer,
            fuse=DeadLetterFuse(0.5, 1000, 200),
            clock=clock,
            metrics=metrics,
            on_acknowledged=lambda: None,
            tracing=tracing,
        )
        self._owner = Owner()

    def run(self, records: Sequence[Record]) -> None:
        """Every record, in chunks."""
        for start in range(0, len(records), CHUNK):
            now = self._clock.monotonic()
            entries = self._preparer.prepare(records[start : start + CHUNK], now)
            if self._tracing is not None:
                self._tracing.prepared(entries, now, self._clock.monotonic())
            for entry in entries:
                entry.outcome = Prediction((0.25, 0.75), 2, truncated=False)
            if self._tracing is not None:
                self._tracing.inferring(entries, now)
                self._tracing.inferred(entries, self._clock.monotonic())
            self._outcomes.acknowledged(list(self._outcomes.write(entries, self._owner)))


def unexpected(error: BaseException) -> None:
    """The making of spans has ended."""
    raise error


def spans(sampler: str) -> ReviewSpans:
    """Tracing with a sampler of OpenTelemetry's."""
    os.environ["OTEL_TRACES_SAMPLER"] = sampler
    return ReviewSpans(Export(BatchSpanProcessor(Nowhere(), max_queue_size=65_536)), "bench", SystemClock(), unexpected)


def cost_us(make: Callable[[], Tracing | None], records: Sequence[Record]) -> float:
    """Microseconds for one record, once all that is left to a thread is done too."""
    tracing = make()
    stages = Stages(tracing)
    stages.run(records[:CHUNK])
    started_at = time.process_time()
    stages.run(records)
    if tracing is not None:
        tracing.close(60.0)
    return (time.process_time() - started_at) * 1e6 / len(records)


def main(count: int) -> None:
    source = random.Random(1)
    events = [made_event(number, source) for number in range(count)]
    plain = [Record(PARTITION, n, 1, b"key", event, (), 1) for n, event in enumerate(events)]
    with_context = [Record(PARTITION, n, 1, b"key", event, (CONTEXT,), 1) for n, event in enumerate(events)]
    subjects: dict[str, tuple[Callable[[], Tracing | None], Sequence[Record]]] = {
        "off": (lambda: None, plain),
        "off, events with a header": (lambda: None, with_context),
        "on, not sampled": (lambda: spans("always_off"), with_context),
        "on, every review sampled": (lambda: spans("always_on"), with_context),
    }
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)  # as the worker does
    costs: dict[str, list[float]] = {name: [] for name in subjects}
    for _ in range(ROUNDS):
        for name, (make, records) in subjects.items():
            costs[name].append(cost_us(make, records))
    print(f"{count} events, medians of {ROUNDS} interleaved rounds, microseconds an event (least, most)")
    for name, values in costs.items():
        print(f"| {name} | {statistics.median(values):.1f} | {min(values):.1f} | {max(values):.1f} |")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 4096)
