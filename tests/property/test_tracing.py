"""Tracing changes the headers ``traceparent`` and ``tracestate`` of what is published, and nothing else."""

from __future__ import annotations

import json

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from tracing_parts import PARENT, TRACE, KeptSpans

from worker.clock import FakeClock
from worker.delivery.outputs import Destination, OutputWriter, Partitioner
from worker.events.codec import EventCodec, ResultWriter
from worker.observability.metrics import Metrics
from worker.observability.tracing.context import NAMES
from worker.pipeline.preparation import RecordPreparer
from worker.records import Encoding, Entry, Headers, OutputRecord, Prediction, Record, TopicPartition
from worker.tokenization.overflow import DEFAULT_OVERFLOW

PARTITION = TopicPartition("reviews.in", 0)
CLOCK = FakeClock()
SPANS = KeptSpans(CLOCK)


class LengthTokenizer:
    """Two tokens for each text."""

    overflow = DEFAULT_OVERFLOW

    def encode_many(self, texts: list[str]) -> list[Encoding]:
        return [Encoding(np.array([2, 3], dtype=np.int32), truncated=False) for _ in texts]


def nearly(value: str) -> st.SearchStrategy[bytes]:
    """`value`, or something like it."""
    return st.one_of(
        st.just(value.encode()),
        st.binary(max_size=60),
        st.from_regex(r"[0-9a-f]{2}-[0-9a-f]{30,33}-[0-9a-f]{15,17}-[0-9a-f]{2}(-.*)?", fullmatch=True).map(str.encode),
        st.tuples(st.just(value.encode()), st.binary(max_size=5)).map(b"".join),
    )


headers = st.lists(
    st.one_of(
        st.tuples(st.just("traceparent"), st.one_of(st.none(), nearly(f"00-{TRACE}-{PARENT}-01"))),
        st.tuples(st.just("tracestate"), st.one_of(st.none(), nearly("vendor=x"))),
        st.tuples(st.text(max_size=5), st.one_of(st.none(), st.binary(max_size=5))),
    ),
    max_size=5,
).map(tuple)
values = st.one_of(
    st.none(),
    st.binary(max_size=20),
    st.text(max_size=20).map(lambda text: json.dumps({"text": text, "sentiment": 1}).encode()),
)


def published(records: list[Record], spans: KeptSpans | None) -> tuple[list[Entry], list[OutputRecord]]:
    """The entries, and what is published of them when the model has a result for each."""
    codec = EventCodec("text", "sentiment", 1_000_000)
    tracing = spans.tracing if spans else None
    entries = RecordPreparer(codec, LengthTokenizer(), CLOCK, Metrics()).prepare(records, CLOCK.monotonic())
    if tracing:
        tracing.prepared(entries, CLOCK.monotonic(), CLOCK.monotonic())
    for entry in entries:
        if entry.encoding is not None:
            entry.outcome = Prediction((0.25, 0.75), 2, truncated=False)
    writer = OutputWriter(
        codec=codec,
        results=ResultWriter(("neg", "pos"), "fake@1"),
        partitioner=Partitioner(1),
        output=Destination("reviews.classified", 1, 1_000_000),
        dead_letters=Destination("reviews.dlq", 1, 1_000_000),
        clock=CLOCK,
        tracing=tracing,
    )
    return entries, writer.write(entries)


def without_context(headers: Headers) -> Headers:
    return tuple(header for header in headers if header[0] not in NAMES)


@settings(max_examples=300)
@given(st.lists(st.tuples(values, headers), min_size=1, max_size=5))
def test_only_the_context_differs(content: list[tuple[bytes | None, Headers]]) -> None:
    records = [Record(PARTITION, offset, 5, b"key", value, held, 1) for offset, (value, held) in enumerate(content)]
    _, plain = published(records, None)
    _, traced = published(records, SPANS)
    for before, after, record in zip(plain, traced, records, strict=True):
        assert (after.topic, after.partition, after.key, after.value, after.timestamp_ms) == (
            before.topic,
            before.partition,
            before.key,
            before.value,
            before.timestamp_ms,
        )
        assert before.headers[: len(record.headers)] == record.headers
        assert without_context(after.headers) == without_context(before.headers)
        names = [name for name, _ in after.headers if name in NAMES]
        assert names in (["traceparent"], ["traceparent", "tracestate"])
