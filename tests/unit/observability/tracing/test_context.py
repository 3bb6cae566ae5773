"""The trace context in the headers of a record."""

from __future__ import annotations

import pytest
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, TraceState, get_current_span

from worker.observability.tracing.context import extracted, replaced
from worker.records import Headers

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
TRACEPARENT = f"00-{TRACE}-{PARENT}-01".encode()


def context_of(*headers: tuple[str, bytes | None]) -> SpanContext:
    return get_current_span(extracted(headers)).get_span_context()


def span(state: TraceState | None = None) -> NonRecordingSpan:
    return NonRecordingSpan(SpanContext(int(TRACE, 16), 0x1234, False, TraceFlags(1), state))


def test_a_producers_context_is_read() -> None:
    context = context_of(("a", b"1"), ("traceparent", TRACEPARENT), ("tracestate", b"vendor=x,other=y"))
    assert (f"{context.trace_id:032x}", f"{context.span_id:016x}") == (TRACE, PARENT)
    assert context.trace_flags.sampled
    assert context.is_remote
    assert context.trace_state.to_header() == "vendor=x,other=y"


def test_of_several_the_last_counts() -> None:
    context = context_of(("traceparent", b"00-%032d-%016d-01" % (1, 1)), ("traceparent", TRACEPARENT))
    assert f"{context.trace_id:032x}" == TRACE


@pytest.mark.parametrize(
    "value",
    [
        None,
        b"",
        b"nonsense",
        b"\xff\xfe",
        TRACEPARENT[:-1],
        TRACEPARENT + b"-more",
        b"ff" + TRACEPARENT[2:],
        TRACEPARENT.upper(),
        f"00-{'0' * 32}-{PARENT}-01".encode(),
        f"00-{TRACE}-{'0' * 16}-01".encode(),
        b"00-" + b"1" * 100_000,
    ],
)
def test_what_is_not_well_formed_is_none(value: bytes | None) -> None:
    assert not context_of(("traceparent", value)).is_valid


def test_a_state_that_is_not_well_formed_leaves_the_parent() -> None:
    for state in (b"\xff", b"=", b"a" * 10_000, None):
        context = context_of(("traceparent", TRACEPARENT), ("tracestate", state))
        assert f"{context.span_id:016x}" == PARENT
        assert not context.trace_state


def test_the_own_context_takes_the_place_of_the_producers() -> None:
    headers: Headers = (
        ("traceparent", b"old"),
        ("a", None),
        ("tracestate", b"old=1"),
        ("a", b"2"),
        ("traceparent", b"o"),
    )
    own = f"00-{TRACE}-{0x1234:016x}-01".encode()
    assert replaced(headers, span()) == (("a", None), ("a", b"2"), ("traceparent", own))
    assert replaced((), span()) == (("traceparent", own),)
    with_state = replaced(headers, span(TraceState([("vendor", "x")])))
    assert with_state[-1] == ("tracestate", b"vendor=x")


def test_without_a_context_of_its_own_the_headers_stay() -> None:
    headers: Headers = (("traceparent", b"theirs"), ("tracestate", b"theirs=1"))
    assert replaced(headers, NonRecordingSpan(SpanContext(0, 0, False))) == headers
