"""Every metric of the worker, once: its name, its kind and its meaning."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate
from threading import Lock

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector
from prometheus_client.core import HistogramMetricFamily
from prometheus_client.metrics import MetricWrapperBase
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from worker.errors import Reason, Stage

_SECONDS = (
    *(0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 1.5, 2.5, 5.0, 10.0, 15.0, 20.0, 30.0),
    *(45.0, 60.0, 120.0, 300.0),
)
_COUNTS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)
_TOKENS = (64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384, 32768, 65536)
_SHARES = (0.0, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75)

PROCESS_METRICS = (
    *("process_cpu_seconds_total", "process_resident_memory_bytes", "process_virtual_memory_bytes"),
    *("process_open_fds", "process_max_fds", "process_start_time_seconds"),
)
"""What the client library says of the process itself, on Linux."""


class GroupHistogram(Collector):
    """A histogram that takes all samples of a group in one call: `Histogram.observe` costs over 1 us for each.

    Served like a `Histogram`. May be observed and collected from different threads.
    """

    def __init__(self, name: str, text: str, buckets: Sequence[float], registry: CollectorRegistry) -> None:
        self._name = name
        self._text = text
        self._bounds = [float(bound) for bound in buckets]
        self._counts = [0] * (len(self._bounds) + 1)
        self._sum = 0.0
        self._lock = Lock()
        registry.register(self)

    def observe_all(self, samples: Iterable[float]) -> None:
        """Count samples, none of which is negative."""
        counts, bounds = self._counts, self._bounds
        total = 0.0
        with self._lock:
            for sample in samples:
                counts[bisect_left(bounds, sample)] += 1
                total += sample
            self._sum += total

    def describe(self) -> Iterator[HistogramMetricFamily]:
        """Its name and meaning, without samples."""
        yield HistogramMetricFamily(self._name, self._text)

    def collect(self) -> Iterator[HistogramMetricFamily]:
        """All samples so far."""
        with self._lock:
            counts, total = list(accumulate(self._counts)), self._sum
        edges = map(floatToGoString, (*self._bounds, float("inf")))
        yield HistogramMetricFamily(self._name, self._text, list(zip(edges, counts, strict=True)), total)


KINDS = (MetricWrapperBase, GroupHistogram)
"""What each attribute of `Metrics` that is a metric is one of."""


class Metrics:
    """One instance for each worker, in a registry of its own; components are handed this object.

    Every attribute is a metric; its help text is its documentation (``docs/metrics.md`` is generated from here).
    Where the values of a label are known, each has its series from the start: the rate of a counter that appears
    with its first count misses that count.
    """

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        self.registry = registry or CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self.info = self._gauge(
            "info",
            "1 for the worker as it was started.",
            ["version", "group", "input_topic", "output_topic", "dead_letter_topic", "guarantee"],
        )
        self.events_in = self._counter("events_in", "Records taken from the input topic.")
        self.events_out = self._counter("events_out", "Classified reviews acknowledged by the broker.")
        self.tombstones = self._counter("tombstones", "Tombstones passed through and acknowledged.")
        self.dead_letters = self._counter(
            "dead_letters", "Events acknowledged on the dead-letter topic, by reason.", "reason", list(Reason)
        )
        self.dropped_stale = self._counter(
            "stale_events", "Records dropped because their assignment had ended; another member reads them again."
        )
        self.labels = self._counter("predictions", "Predictions, by label.", "label")
        self.overflows = self._counter(
            "overflows", "Reviews longer than the model reads, by what was done (setting overflow).", "policy"
        )
        self.windows = self._counter("windows", "Windows computed of reviews that were read in several.")
        self.batches = self._counter("batches", "Batches computed.")
        self.batch_reviews = self._histogram(
            "batch_reviews", "Reviews of a batch; each window of a long one counts.", _COUNTS
        )
        self.batch_tokens = self._histogram("batch_tokens", "Padded tokens of a batch.", _TOKENS)
        self.padding_waste = self._histogram("padding_waste", "1 - real / padded tokens of a batch.", _SHARES)
        self.real_tokens = self._counter("real_tokens", "Tokens of reviews computed, without padding.")
        self.padded_tokens = self._counter("padded_tokens", "Tokens computed, padding included.")
        self.queue_reviews = self._gauge(
            "queue_reviews", "Reviews waiting for a batch; each window of a long one counts."
        )
        self.queue_seconds = self._histogram("queue_seconds", "Wait of a batch's oldest review in the queue.", _SECONDS)
        self.prepare_seconds = self._histogram(
            "prepare_seconds", "Decoding and tokenising one chunk of records.", _SECONDS
        )
        self.inference_seconds = self._histogram("inference_seconds", "Computing one batch.", _SECONDS)
        self.publish_seconds = self._histogram(
            "publish_seconds", "From handing a group of records to the producer to their acknowledgement.", _SECONDS
        )
        self.worker_seconds = self._group_histogram(
            "worker_seconds", "From intake of a record to its acknowledged output, each record.", _SECONDS
        )
        self.end_to_end_seconds = self._group_histogram(
            "end_to_end_seconds", "From a record's own timestamp to its acknowledged output, each record.", _SECONDS
        )
        self.in_flight_reviews = self._gauge("in_flight_reviews", "Records between intake and acknowledged output.")
        self.in_flight_bytes = self._gauge(
            "in_flight_bytes", "Bytes that they take in memory, as max_in_flight_bytes counts."
        )
        self.lag = self._gauge(
            "lag", "Records of a partition not yet committed, up to its newest one, by partition.", ["partition"]
        )
        self.lag_in_transactions = self._gauge(
            "lag_in_transactions",
            "The part of the lag that may not be read before a transaction upstream has ended, by partition.",
            ["partition"],
        )
        self.open_transaction_seconds = self._gauge(
            "open_transaction_seconds",
            "How long this worker has seen the first open transaction of a partition; 0 without one.",
            ["partition"],
        )
        self.damaged_offset = self._gauge(
            "damaged_offset",
            "Offset at which a partition cannot be read, by partition; only of those that wait for that.",
            ["partition"],
        )
        self.topic_missing = self._gauge("topic_missing", "1 while the broker says that there is no input topic.")
        self.drain_seconds = self._gauge(
            "drain_seconds",
            "Time that this worker needs for its lag at the pace of the last minute; 0 before it has a pace.",
        )
        self.assigned_partitions = self._gauge("assigned_partitions", "Partitions assigned to this worker.")
        self.rebalances = self._counter("rebalances", "Assignments received.")
        self.commits = self._counter(
            "commits", "Commits of offsets, by outcome.", "outcome", ("stored", "failed", "stale")
        )
        self.transactions = self._counter(
            "transactions", "Transactions (exactly once), by outcome.", "outcome", ("committed", "failed", "fenced")
        )
        self.inference_failures = self._counter(
            "inference_failures", "Failed computations, by kind.", "kind", ("failed", "out_of_memory")
        )
        self.retries = self._counter(
            "retries",
            "Tries repeated after a fault that may pass, by stage.",
            "stage",
            (Stage.INFER, Stage.PUBLISH),
        )
        self.broker_up = self._gauge("broker_up", "1 while the broker answers.")
        self.paused = self._gauge("intake_paused", "1 while intake waits because too much is in flight.")
        self.provider = self._gauge("provider", "1 for the execution provider that the session uses.", ["provider"])
        self.gpu_fallback = self._gauge(
            "gpu_fallback", "1 where there is a GPU and the model runs on the CPU since the GPU cannot be used."
        )
        self.model = self._gauge("model", "1 for the model in use.", ["name", "version", "precision"])

    def _counter(self, name: str, text: str, label: str = "", known: Sequence[str] = ()) -> Counter:
        counter = Counter(f"reviews_worker_{name}", text, [label] if label else (), registry=self.registry)
        for value in known:
            counter.labels(str(value))
        return counter

    def _gauge(self, name: str, text: str, labels: Sequence[str] = ()) -> Gauge:
        return Gauge(f"reviews_worker_{name}", text, labels, registry=self.registry)

    def _histogram(self, name: str, text: str, buckets: Sequence[float]) -> Histogram:
        return Histogram(f"reviews_worker_{name}", text, registry=self.registry, buckets=buckets)

    def _group_histogram(self, name: str, text: str, buckets: Sequence[float]) -> GroupHistogram:
        return GroupHistogram(f"reviews_worker_{name}", text, buckets, self.registry)
