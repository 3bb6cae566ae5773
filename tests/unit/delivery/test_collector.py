"""From outcomes to acknowledged records, at least once."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from delivery_parts import DEAD, INPUT, OUTPUT, REJECTED, DeliveryWorld, Owner, entry
from fakes import FakePublisher
from pipeline_parts import until

from worker.delivery.collector import RecordCollector
from worker.delivery.transactions import transactional_id
from worker.errors import DeliveryError, FencedError, FuseError, RecordTooLargeError
from worker.records import TOMBSTONE, Prediction, TopicPartition


class World(DeliveryWorld):
    """A collector over a fake broker."""

    def __init__(self, **options: int) -> None:
        super().__init__(**options)
        self.publisher = FakePublisher(self.broker)
        self.collector = RecordCollector(
            publisher=self.publisher,
            new_transactions=self.new_transactions,
            outcomes=self.outcomes,
            clock=self.clock,
            metrics=self.metrics,
            on_failure=self.errors.append,
        )


@pytest.fixture
async def world() -> AsyncIterator[World]:
    world = World()
    yield world
    await world.collector.stop()


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
    with pytest.raises(FuseError, match=r"text_missing 2 times \(last reviews\.in/0/2: "):
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


async def test_records_that_are_refused_between_others_do_not_blow_the_fuse_as_a_row() -> None:
    world = World(run_length=3)
    world.broker.take_keys_only("reviews.classified")
    owner = Owner()
    world.collector.send([entry(offset, key=b"key" if offset % 4 else None) for offset in range(40)], owner)
    await until(lambda: len(owner.offsets) == 40 or world.errors)
    assert (len(world.values(OUTPUT)), len(world.values(DEAD))) == (30, 10)
    assert world.metric("dead_letters_total", reason="output_refused") == 10
    assert world.errors == []
    await world.collector.stop()


async def test_a_dead_letter_without_a_key_that_a_compacted_topic_does_not_take_stops_the_worker(world: World) -> None:
    world.broker.take_keys_only("reviews.dlq")
    owner = Owner()
    world.collector.send([entry(0, REJECTED, key=None)], owner)
    await world.collector.flush()
    (error,) = world.errors
    assert isinstance(error, DeliveryError)
    assert "reviews.dlq does not take the dead letter for reviews.in/0/0: it has no key" in str(error)
    assert "cleanup.policy" in str(error)
    assert owner.acknowledgements == []


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


async def test_whoever_published_exactly_once_before_is_fenced_on_request(world: World) -> None:
    before = world.new_transactions(INPUT)
    await before.open()
    await world.collector.take_over([INPUT])
    assert world.broker.epoch(transactional_id("group", INPUT)) == 1
    with pytest.raises(FencedError):
        await before.commit([], 1, 1)
