"""A span for each review, from intake to its acknowledged output, and a child span for each stage.

The review's span is made when its chunk is prepared, since its context goes into what is published. The children are
made at the end, with the times that were noted, in a thread of their own.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from opentelemetry.context import Context
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, set_span_in_context

from worker.clock import Clock
from worker.errors import RecordError
from worker.records import Entry, Headers, OutputRecord, Part, entry_of
from worker.tasks import OnFailure
from worker.tracing.attributes import Attributes, of_outcome, of_output, of_record
from worker.tracing.context import extracted, replaced
from worker.tracing.export import Export

logger = logging.getLogger(__name__)

WAITING_REVIEWS = 4096
"""Reviews whose spans are still to be made; of more than that the oldest get none."""
_EMPTY = Context()


class Times(NamedTuple):
    """When something began and ended, in monotonic seconds."""

    started_at: float
    ended_at: float


@dataclass(slots=True)
class ReviewTrace:
    """The span of one review, and what is noted for its children."""

    span: Span
    to_wall: float
    """Seconds from monotonic time to the epoch, the same for all spans of the review."""
    prepare: Times
    inferring_since: float | None = None
    """Of a review in several windows: from the first batch on."""
    inferred_at: float | None = None
    rows: int = 0
    """Of its (last) batch."""
    sent_at: float = 0.0
    acknowledged_at: float = 0.0
    destination: tuple[str, int] = ("", -1)
    """Topic and partition that its output or dead letter went to."""
    outcome: Attributes | None = None
    failed: str = ""
    """The reason of a dead letter."""


class Stage(NamedTuple):
    """What becomes a child span."""

    name: str
    kind: SpanKind
    times: Times
    attributes: Attributes | None = None


class ReviewSpans:
    """Implements `worker.tracing.Tracing`."""

    def __init__(self, export: Export, group: str, clock: Clock, on_failure: OnFailure) -> None:
        self._export = export
        self._tracer = export.tracer()
        self._group = group
        self._clock = clock
        self._on_failure = on_failure
        self._finished: deque[ReviewTrace] = deque(maxlen=WAITING_REVIEWS)
        self._arrived = threading.Event()
        self._closing = False
        self._dropping = False
        self._thread = threading.Thread(target=self._make_spans, name="tracing", daemon=True)
        self._thread.start()

    def prepared(self, entries: Sequence[Entry], started_at: float, ended_at: float) -> None:
        """See `worker.tracing.Tracing`."""
        to_wall = self._clock.wall() - self._clock.monotonic()
        times = Times(started_at, ended_at)
        for entry in entries:
            span = self._tracer.start_span(
                f"process {entry.record.partition.topic}",
                extracted(entry.record.headers),
                SpanKind.CONSUMER,
                of_record(entry.record, self._group),
                start_time=_nanoseconds(entry.arrived_at + to_wall),
            )
            entry.trace = ReviewTrace(span, to_wall, times)

    def inferring(self, parts: Sequence[Part], now: float) -> None:
        """See `worker.tracing.Tracing`."""
        for part in parts:
            trace = entry_of(part).trace
            if isinstance(trace, ReviewTrace):
                trace.rows = len(parts)
                if trace.inferring_since is None:
                    trace.inferring_since = now

    def inferred(self, parts: Sequence[Part], now: float) -> None:
        """See `worker.tracing.Tracing`."""
        for part in parts:
            trace = entry_of(part).trace
            if isinstance(trace, ReviewTrace):
                trace.inferred_at = now

    def headers(self, entry: Entry) -> Headers:
        """See `worker.tracing.Tracing`."""
        trace = entry.trace
        if not isinstance(trace, ReviewTrace):
            return entry.record.headers
        trace.sent_at = self._clock.monotonic()
        return replaced(entry.record.headers, trace.span)

    def published(self, published: Sequence[tuple[OutputRecord, Entry]]) -> None:
        """See `worker.tracing.Tracing`."""
        now = self._clock.monotonic()
        finished = []
        for output, entry in published:
            trace = entry.trace
            if isinstance(trace, ReviewTrace) and trace.span.is_recording():
                # What is noted here keeps neither the entry nor its bytes in memory.
                trace.acknowledged_at = now
                trace.destination = output.topic, output.partition
                trace.outcome = of_outcome(entry.outcome)
                trace.failed = entry.outcome.reason.value if isinstance(entry.outcome, RecordError) else ""
                finished.append(trace)
        if len(self._finished) + len(finished) > WAITING_REVIEWS and not self._dropping:
            self._dropping = True
            logger.warning("not every review gets its spans: there are too many; sample fewer (OTEL_TRACES_SAMPLER)")
        self._finished.extend(finished)
        self._arrived.set()

    def close(self, timeout_s: float) -> None:
        """See `worker.tracing.Tracing`."""
        until = time.monotonic() + timeout_s
        self._closing = True
        self._arrived.set()
        self._thread.join(timeout_s)
        self._export.close(max(0.0, until - time.monotonic()))

    # --- inside -----------------------------------------------------------------------------------------------------

    def _make_spans(self) -> None:
        try:
            while not self._closing or self._finished:
                self._arrived.wait()
                self._arrived.clear()
                while self._finished:
                    self._end(self._finished.popleft())
        except Exception as error:
            self._on_failure(error)

    def _end(self, trace: ReviewTrace) -> None:
        parent = set_span_in_context(trace.span, _EMPTY)
        for stage in _stages(trace):
            started_at, ended_at = (_nanoseconds(at + trace.to_wall) for at in stage.times)
            child = self._tracer.start_span(stage.name, parent, stage.kind, stage.attributes, start_time=started_at)
            child.end(ended_at)
        trace.span.set_attributes(trace.outcome or {})
        if trace.failed:
            trace.span.set_status(Status(StatusCode.ERROR, trace.failed))
        trace.span.end(_nanoseconds(trace.acknowledged_at + trace.to_wall))


def _stages(trace: ReviewTrace) -> Iterator[Stage]:
    yield Stage("prepare", SpanKind.INTERNAL, trace.prepare)
    since = trace.inferring_since
    if since is not None:
        # Published before the batch was through: one that is split after a failure has outcomes one by one.
        until = min(trace.inferred_at or trace.sent_at, trace.sent_at)
        yield Stage("queue", SpanKind.INTERNAL, Times(trace.prepare.ended_at, since))
        yield Stage("inference", SpanKind.INTERNAL, Times(since, until), {"reviews_worker.batch.rows": trace.rows})
    topic, partition = trace.destination
    publishing = Times(trace.sent_at, trace.acknowledged_at)
    yield Stage(f"send {topic}", SpanKind.PRODUCER, publishing, of_output(topic, partition))


def _nanoseconds(seconds: float) -> int:
    return int(seconds * 1e9)
