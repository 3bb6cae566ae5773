"""Parts for the tests of tracing: spans that are kept in memory, and a worker over the fake broker that makes them."""

from __future__ import annotations

from collections.abc import Sequence

from contract.world import FakeWorld
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from worker.clock import Clock, SystemClock
from worker.fakes import FakeSession, FakeWorker
from worker.records import Headers
from worker.settings import Settings
from worker.tokenization import Tokenizer
from worker.tracing.export import Export
from worker.tracing.spans import ReviewSpans

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
SAMPLED, UNSAMPLED = (("traceparent", f"00-{TRACE}-{PARENT}-{flags}".encode()) for flags in ("01", "00"))


def unexpected(error: BaseException) -> None:
    """Raises what ends the making of spans; pytest makes a failure of it, in whatever thread it is."""
    raise error


class KeptSpans:
    """Tracing whose spans a test reads."""

    def __init__(self, clock: Clock | None = None, group: str = "group") -> None:
        self._exporter = InMemorySpanExporter()
        self.tracing = ReviewSpans(
            Export(SimpleSpanProcessor(self._exporter)), group, clock or SystemClock(), unexpected
        )

    def finished(self) -> Sequence[ReadableSpan]:
        """All of them; ends tracing."""
        self.tracing.close(30.0)
        return self._exporter.get_finished_spans()

    def reviews(self) -> dict[str, ReadableSpan]:
        """The spans of reviews, by source; ends tracing."""
        spans = {source_of(span): span for span in self.finished() if span.name.startswith("process ")}
        assert len(spans) == sum(span.name.startswith("process ") for span in self.finished())
        return spans

    def stages(self, review: ReadableSpan) -> dict[str, ReadableSpan]:
        """The children of a review's span, by name, in the order of their start."""
        children = [span for span in self.finished() if span.parent and span.parent.span_id == review.context.span_id]
        return {span.name: span for span in sorted(children, key=lambda span: span.start_time or 0)}


class TracedWorld(FakeWorld):
    """A worker over the fake broker, traced."""

    def __init__(self, settings: Settings, tokenizer: Tokenizer, spans: KeptSpans) -> None:
        super().__init__(settings, tokenizer)
        self._spans = spans

    def _build(self, session: FakeSession, settings: Settings) -> FakeWorker:
        return FakeWorker(self.group, settings, session=session, tokenizer=self.tokenizer, tracing=self._spans.tracing)


def source_of(span: ReadableSpan) -> str:
    """``<topic>/<partition>/<offset>`` of a review's span."""
    attributes = span.attributes or {}
    names = ("messaging.destination.name", "messaging.destination.partition.id", "messaging.kafka.offset")
    return "/".join(str(attributes[name]) for name in names)


def traceparent(span: ReadableSpan) -> bytes:
    """What a header says of it."""
    return f"00-{span.context.trace_id:032x}-{span.context.span_id:016x}-{span.context.trace_flags:02x}".encode()


def header(headers: Headers, name: str) -> bytes | None:
    """The only header of this name; raises ValueError when there are none or several."""
    (value,) = (value for each, value in headers if each == name)
    return value
