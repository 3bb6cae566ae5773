"""Traces of reviews: the producer's ``traceparent`` in, a span for each review with its stages, ``traceparent`` out.

Off by default. OpenTelemetry (extra ``otel``) is imported only when it is on; nothing else of the worker imports it.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import version
from typing import Protocol

from worker.clock import Clock
from worker.errors import UsageError
from worker.extras import install_command
from worker.records import Entry, Headers, OutputRecord, Part
from worker.tasks import OnFailure


class Tracing(Protocol):
    """What the rooms tell of their work, in monotonic seconds; none of it raises or waits.

    Who has no tracing (None) asks so once for a chunk, a batch or a group, never for each event.
    """

    def prepared(self, entries: Sequence[Entry], started_at: float, ended_at: float) -> None:
        """A chunk was decoded and tokenised in this time: each of its entries has a trace from now on. In a thread."""

    def inferring(self, parts: Sequence[Part], now: float) -> None:
        """A batch begins to be computed."""

    def inferred(self, parts: Sequence[Part], now: float) -> None:
        """It is computed. Some of it may be published already."""

    def headers(self, entry: Entry) -> Headers:
        """The record's headers for what is published of it now: the trace context in place of the producer's."""

    def published(self, published: Sequence[tuple[OutputRecord, Entry]]) -> None:
        """The broker has these outputs or dead letters."""

    def close(self, timeout_s: float) -> None:
        """Send what is left, for so long at most. Blocks."""


def require_opentelemetry() -> str:
    """Its version; raises UsageError where the extra is not installed."""
    try:
        from worker.tracing import export, spans  # noqa: F401 - all that is needed

        return version("opentelemetry-sdk")
    except ImportError as error:
        raise UsageError(
            f"tracing is on, but OpenTelemetry is not installed ({error.name}); install the extra"
            f" (or set --no-tracing): {install_command('otel')}"
        ) from error


def open_tracing(group: str, clock: Clock, on_failure: OnFailure) -> Tracing:
    """Tracing for a member of `group`, to where OpenTelemetry's own variables (``OTEL_...``) say.

    `on_failure` is called, in a thread of its own, with what ends the making of spans.

    Raises UsageError where the extra is not installed, or a variable has a value that cannot be.
    """
    require_opentelemetry()
    from worker.tracing.export import Export
    from worker.tracing.spans import ReviewSpans

    try:
        return ReviewSpans(Export.from_environment(), group, clock, on_failure)
    except Exception as error:  # OpenTelemetry's errors have no common base
        raise UsageError(f"tracing cannot start ({error}); check the variables OTEL_...") from error
