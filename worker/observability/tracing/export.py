"""Where spans go: in batches, from a thread of OpenTelemetry's own, to a collector by OTLP over HTTP."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from importlib.metadata import version

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.environment_variables import OTEL_BSP_MAX_QUEUE_SIZE
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Tracer

NAME = "reviews-worker"
WAITING_SPANS = 8192
"""A review has five, and a lane may have hundreds of reviews acknowledged at once. What does not fit is dropped."""


class Export:
    """A tracer, and the end of what it sends; `give_up` ends what `processor` still tries to send."""

    def __init__(self, processor: SpanProcessor, give_up: Callable[[], None] = lambda: None) -> None:
        self._give_up = give_up
        self._version = version(NAME)
        # What OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES say counts more.
        named = {"service.name": NAME, "service.version": self._version, **OTELResourceDetector().detect().attributes}
        # OTEL_TRACES_SAMPLER says which reviews are sampled; without it, whoever began their trace.
        self._provider = TracerProvider(resource=Resource.create(named), shutdown_on_exit=False)
        self._provider.add_span_processor(processor)

    @classmethod
    def from_environment(cls) -> Export:
        """To the collector that OpenTelemetry's variables name; raises ValueError for values that cannot be."""
        waiting = None if OTEL_BSP_MAX_QUEUE_SIZE in os.environ else WAITING_SPANS
        exporter = OTLPSpanExporter()
        return cls(BatchSpanProcessor(exporter, max_queue_size=waiting), exporter.shutdown)

    def tracer(self) -> Tracer:
        """Makes the spans."""
        return self._provider.get_tracer(NAME, self._version)

    def close(self, timeout_s: float) -> None:
        """Send what waits, for so long at most."""
        # OpenTelemetry waits for half a minute, and the thread that it waits for is a daemon as this one is.
        closing = threading.Thread(target=self._provider.shutdown, name="tracing-end", daemon=True)
        closing.start()
        closing.join(timeout_s)
        if closing.is_alive():
            self._give_up()
