"""Parts for the tests of the delivery: an owner that takes notes, entries with outcomes, and what collectors need."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from fakes import FakeBroker
from fakes.transactions import FakeTransactions, TransactionFaults

from worker.clock import FakeClock
from worker.delivery.dead_letters import DeadLetterFuse
from worker.delivery.outcomes import Outcomes
from worker.delivery.outputs import Destination, OutputWriter, Partitioner
from worker.errors import Reason, RecordError, Stage
from worker.events.codec import EventCodec, ResultWriter
from worker.observability.metrics import Metrics
from worker.records import TOMBSTONE, Entry, Prediction, Record, Tombstone, TopicPartition

INPUT = TopicPartition("reviews.in", 0)
OUTPUT = TopicPartition("reviews.classified", 0)
DEAD = TopicPartition("reviews.dlq", 0)
GROUP = "group"
PREDICTION = Prediction((0.25, 0.75), 4, truncated=False)
REJECTED = RecordError(Reason.TEXT_MISSING, Stage.DECODE, "no text")


@dataclass(eq=False)
class Owner:
    """An assignment that notes what is acknowledged, and what is stored."""

    closed: bool = False
    acknowledgements: list[tuple[TopicPartition, list[int]]] = field(default_factory=list)
    stored: dict[TopicPartition, int] = field(default_factory=dict)

    def acknowledged(self, partition: TopicPartition, entries: Sequence[Entry]) -> None:
        self.acknowledgements.append((partition, [entry.record.offset for entry in entries]))

    def committed(self, partition: TopicPartition) -> int:
        return self.stored.get(partition, 0)

    def post_commit(self, offsets: Mapping[TopicPartition, int]) -> None:
        self.stored.update(offsets)

    @property
    def offsets(self) -> set[int]:
        return {offset for _, offsets in self.acknowledgements for offset in offsets}


class DeliveryWorld:
    """Outcomes that are published to a fake broker; the collector comes from the test."""

    def __init__(self, *, run_length: int = 100, output_bytes: int = 1_000_000, input_partitions: int = 1) -> None:
        self.broker = FakeBroker()
        for topic in ("reviews.classified", "reviews.dlq"):
            self.broker.create_topic(topic)
        self.metrics = Metrics()
        self.clock = FakeClock()
        self.faults = TransactionFaults()
        self.errors: list[BaseException] = []
        self.acknowledgements = 0
        writer = OutputWriter(
            codec=EventCodec("text", "sentiment", 1_000_000),
            results=ResultWriter(("neg", "pos"), "fake@1"),
            partitioner=Partitioner(input_partitions),
            output=Destination("reviews.classified", 1, output_bytes),
            dead_letters=Destination("reviews.dlq", 1, 1_000_000),
            clock=self.clock,
        )
        self.outcomes = Outcomes(
            writer=writer,
            fuse=DeadLetterFuse(1.0, 1_000, run_length),
            clock=self.clock,
            metrics=self.metrics,
            on_acknowledged=self._acknowledged,
        )

    def new_transactions(self, partition: TopicPartition) -> FakeTransactions:
        return FakeTransactions(self.broker, GROUP, partition, self.faults)

    def values(self, partition: TopicPartition) -> list[bytes | None]:
        return [record.value for record in self.broker.records(partition)]

    def metric(self, name: str, **labels: str) -> float | None:
        return self.metrics.registry.get_sample_value(f"reviews_worker_{name}", labels)

    def _acknowledged(self) -> None:
        self.acknowledgements += 1


def entry(
    offset: int,
    outcome: Prediction | RecordError | Tombstone = PREDICTION,
    value: bytes | None = None,
    partition: TopicPartition = INPUT,
    key: bytes | None = b"key",
) -> Entry:
    """An entry that has its outcome."""
    if outcome is not TOMBSTONE and value is None:
        value = b'{"text": "%d"}' % offset
    record = Record(partition, offset, 1, key, value, (), 1)
    return Entry(record, None, has_result=False, arrived_at=0.0, waiting_since=0.0, outcome=outcome)
