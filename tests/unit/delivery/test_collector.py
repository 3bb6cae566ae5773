"""From outcomes to acknowledged records."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field

import pytest
from pipeline_parts import until

from worker.clock import FakeClock
from worker.delivery.collector import RecordCollector
from worker.delivery.dead_letters import DeadLetterFuse
from worker.delivery.outcomes import Outcomes
from worker.delivery.outputs import Destination, OutputWriter, Partitioner
from worker.errors import DeliveryError, FuseError, Reason, RecordError, RecordTooLargeError, Stage
from worker.events import EventCodec, ResultWriter
from worker.fakes import FakeBroker, FakePublisher
from worker.fakes.transactions import FakeTransactions, TransactionFaults
from worker.metrics import Metrics
from worker.records import TOMBSTONE, Entry, Prediction, Record, Tombstone, TopicPartition

INPUT = TopicPartition("reviews.in", 0)
OUTPUT = TopicPartition("reviews.classified", 0)
DEAD = TopicPartition("reviews.dlq", 0)
PREDICTION = Prediction((0.25, 0.75), 4, truncated=False)
REJECTED = RecordError(Reason.TEXT_MISSING, Stage.DECODE, "no text")


@dataclass(eq=False)
class Owner:
    """An assignment that notes what is acknowledged."""

    closed: bool = False
    acknowledgements: list[tuple[TopicPartition, list[int]]] = field(default_factory=list)

    def acknowledged(self, partition: TopicPartition, entries: Sequence[Entry]) -> None:
        self.acknowledgements.append((partition, [entry.record.offset for entry in entries]))

    @property
    def offsets(self) -> set[int]:
        return {offset for _, offsets in self.acknowledgements for offset in offsets}


class World:
    """A collector over a fake broker."""

    def __init__(self, *, run_length: int = 100, output_bytes: int = 1_000_000, input_partitions: int = 1) -> None:
        self.broker = FakeBroker()
        for topic in ("reviews.classified", "reviews.dlq"):
            self.broker.create_topic(topic)
        self.publisher = FakePublisher(self.broker)
        self.metrics = Metrics()
        self.errors: list[BaseException] = []
        self.acknowledgements = 0
        clock = FakeClock()
        writer = OutputWriter(
            codec=EventCodec("text", "sentiment", 1_000_000),
            results=ResultWriter(("neg", "pos"), "fake@1"),
            partitioner=Partitioner(input_partitions),
            output=Destination("reviews.classified", 1, output_bytes),
            dead_letters=Destination("reviews.dlq", 1, 1_000_000),
            clock=clock,
        )
        self.faults = TransactionFaults()
        self.outcomes = Outcomes(
            writer=writer,
            fuse=DeadLetterFuse(1.0, 1_000, run_length),
            clock=clock,
            metrics=self.metrics,
            on_acknowledged=self._acknowledged,
        )
        self.collector = RecordCollector(
            publisher=self.publisher,
            new_transactions=lambda partition: FakeTransactions(self.broker, "group", partition, self.faults),
            outcomes=self.outcomes,
            clock=clock,
            metrics=self.metrics,
            on_failure=self.errors.append,
        )

    def _acknowledged(self) -> None:
        self.acknowledgements += 1

    def values(self, partition: TopicPartition) -> list[bytes | None]:
        return [record.value for record in self.broker.records(partition)]

    def metric(self, name: str, **labels: str) -> float | None:
        return self.metrics.registry.get_sample_value(f"reviews_worker_{name}", labels)


@pytest.fixture
async def world() -> AsyncIterator[World]:
    world = World()
    yield world
    await world.collector.stop()


def entry(
    offset: int,
    outcome: Prediction | RecordError | Tombstone = PREDICTION,
    value: bytes | None = None,
    partition: TopicPartition = INPUT,
) -> Entry:
    if outcome is not TOMBSTONE and value is None:
        value = b'{"text": "%d"}' % offset
    record = Record(partition, offset, 1, b"key", value, (), 1)
    return Entry(record, None, has_result=False, arrived_at=0.0, waiting_since=0.0, outcome=outcome)


async def test_each_outcome_goes_where_it_belongs_and_is_counted(world: World) -> None:
    owner = Owner()
    world.collector.send([entry(0), entry(1, REJECTED), entry(2, TOMBSTONE), entry(3)], owner)
    await world.collector.flush()
    classified = world.values(OUTPUT)
    assert [value is None for value in classified] == [False, True, False]
    assert world.values(DEAD) == [b'{"text": "1"}']
    assert owner.offsets == {0, 1, 2, 3}
    assert world.metric("events_out_total") == 2
    assert world.metric("tombstones_total") == 1
    assert world.metric("dead_letters_total", reason="text_missing") == 1
    assert world.acknowledgements == 2  # one for each topic


async def test_nothing_is_acknowledged_before_the_broker_says_so(world: World) -> None:
    owner = Owner()
    world.publisher.hold_acknowledgements()
    world.collector.send([entry(0), entry(1)], owner)
    await world.broker.until(lambda: len(world.values(OUTPUT)) == 2)
    assert owner.acknowledgements == []
    assert world.acknowledgements == 0
    world.publisher.release()
    await world.collector.flush()
    assert owner.offsets == {0, 1}


async def test_while_a_group_is_on_its_way_the_next_one_gathers(world: World) -> None:
    owner = Owner()
    world.publisher.hold_acknowledgements()
    world.collector.send([entry(0)], owner)
    await world.broker.until(lambda: len(world.values(OUTPUT)) == 1)
    for offset in range(1, 6):
        world.collector.send([entry(offset)], owner)
    world.publisher.release()
    await world.collector.flush()
    assert world.publisher.group_sizes == [1, 5]


async def test_acknowledgements_of_several_owners_and_partitions_reach_each(world: World) -> None:
    first, second = Owner(), Owner()
    other = TopicPartition("reviews.in", 1)
    world.publisher.hold()
    world.collector.send([entry(0), entry(1)], first)
    world.collector.send([entry(7, partition=other)], first)
    world.collector.send([entry(2)], first)
    world.collector.send([entry(0)], second)
    world.publisher.release()
    await world.collector.flush()
    assert first.acknowledgements == [(INPUT, [0, 1]), (other, [7]), (INPUT, [2])]
    assert second.acknowledgements == [(INPUT, [0])]


async def test_when_the_fuse_blows_what_came_before_is_published_and_nothing_after(world: World) -> None:
    world = World(run_length=2)
    owner = Owner()
    with pytest.raises(FuseError, match=r"text_missing \(2 of 2\)"):
        world.collector.send([entry(0), entry(1, REJECTED), entry(2, REJECTED), entry(3)], owner)
    await world.collector.flush()
    assert owner.offsets == {0, 1}
    await world.collector.stop()


async def test_a_record_that_the_broker_refuses_becomes_a_dead_letter_and_its_neighbours_are_published(
    world: World,
) -> None:
    world.broker.limit_batch_bytes("reviews.classified", 1_500)
    large = entry(5, value=b'{"text": "%s"}' % (b"x" * 2_000))
    owner = Owner()
    world.collector.send([*map(entry, range(5)), large, *map(entry, range(6, 10))], owner)
    await until(lambda: len(owner.offsets) == 10)
    assert len(world.values(OUTPUT)) == 9
    (letter,) = world.broker.records(DEAD)
    assert letter.value == large.record.value
    assert dict(letter.headers)["reviews_worker.errors.reason"] == b"output_too_large"
    assert world.metric("dead_letters_total", reason="output_too_large") == 1
    assert world.errors == []


async def test_refused_records_blow_the_fuse_too() -> None:
    world = World(run_length=3)
    world.broker.limit_batch_bytes("reviews.classified", 1_500)
    owner = Owner()
    world.collector.send([entry(offset, value=b'{"text": "%s"}' % (b"x" * 2_000)) for offset in range(5)], owner)
    await world.collector.flush()
    assert [type(error) for error in world.errors] == [FuseError]
    await world.collector.stop()


async def test_a_dead_letter_that_is_too_large_stops_the_worker(world: World) -> None:
    world.broker.limit_batch_bytes("reviews.dlq", 1_000)
    owner = Owner()
    world.collector.send([entry(0, REJECTED, value=b"x" * 2_000)], owner)
    await world.collector.flush()
    (error,) = world.errors
    assert isinstance(error, DeliveryError)
    assert "reviews.in/0/0" in str(error)
    assert "max.message.bytes" in str(error)
    assert owner.acknowledgements == []


async def test_an_output_beyond_the_known_limit_is_not_even_sent() -> None:
    world = World(output_bytes=10_000)
    owner = Owner()
    world.collector.send([entry(0, value=b'{"text": "%s"}' % (b"x" * 9_990)), entry(1)], owner)
    await world.collector.flush()
    assert len(world.values(OUTPUT)) == 1
    assert len(world.values(DEAD)) == 1
    assert owner.offsets == {0, 1}
    await world.collector.stop()


@pytest.mark.parametrize("error", [DeliveryError("no rights"), RuntimeError("a bug")])
async def test_an_error_that_stays_is_told_once_and_acknowledges_nothing(world: World, error: Exception) -> None:
    owner = Owner()
    world.publisher.fail(error)
    world.collector.send([entry(0)], owner)
    await world.collector.flush()
    assert world.errors == [error]
    assert owner.acknowledgements == []


async def test_scores_that_are_no_numbers_make_a_dead_letter(world: World) -> None:
    owner = Owner()
    world.collector.send([entry(0, Prediction((float("nan"), 1.0), 3, truncated=False)), entry(1)], owner)
    await world.collector.flush()
    (letter,) = world.broker.records(DEAD)
    assert dict(letter.headers)["reviews_worker.errors.reason"] == b"inference_failed"
    assert owner.offsets == {0, 1}


async def test_a_refused_size_while_the_group_is_one_record_is_asked_once(world: World) -> None:
    owner = Owner()
    world.publisher.fail(RecordTooLargeError("too large"))
    world.collector.send([entry(0)], owner)
    await until(lambda: len(owner.offsets) == 1)
    assert world.values(OUTPUT) == []
    assert len(world.values(DEAD)) == 1
