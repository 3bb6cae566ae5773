"""The trace context of a record: W3C's ``traceparent`` and ``tracestate`` in Kafka headers."""

from __future__ import annotations

from opentelemetry.context import Context
from opentelemetry.propagators.textmap import Getter
from opentelemetry.trace import Span, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from worker.records import Headers

PARENT, STATE = "traceparent", "tracestate"
NAMES = frozenset({PARENT, STATE})


class _HeaderGetter(Getter[Headers]):
    """Of several headers of one name the last counts, as everywhere in Kafka."""

    def get(self, carrier: Headers, key: str) -> list[str] | None:
        values = [value for name, value in carrier if name == key and value is not None]
        return [values[-1].decode("ascii", errors="replace")] if values else None

    def keys(self, carrier: Headers) -> list[str]:
        return [name for name, _ in carrier]


_GETTER = _HeaderGetter()
_PROPAGATOR = TraceContextTextMapPropagator()
_NOTHING = Context()


def extracted(headers: Headers) -> Context:
    """The context that a producer sent along; an empty one where it sent none, or one that is not well-formed."""
    return _PROPAGATOR.extract(headers, _NOTHING, _GETTER) if headers else _NOTHING


def replaced(headers: Headers, span: Span) -> Headers:
    """`headers` with the context of `span` in place of the producer's, behind the others."""
    carrier: dict[str, str] = {}
    _PROPAGATOR.inject(carrier, set_span_in_context(span, _NOTHING))
    if not carrier:  # OpenTelemetry is switched off by OTEL_SDK_DISABLED
        return headers
    kept = (header for header in headers if header[0] not in NAMES)
    return (*kept, *((name, value.encode()) for name, value in carrier.items()))
