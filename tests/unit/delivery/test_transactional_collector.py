"""From outcomes to committed transactions, exactly once."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
from delivery_parts import DEAD, GROUP, INPUT, OUTPUT, REJECTED, DeliveryWorld, Owner, entry
from pipeline_parts import until

from worker.delivery import transaction_lane
from worker.delivery.transactional_collector import FENCED_AGAIN_S, TransactionalCollector
from worker.errors import DeliveryError, FuseError
from worker.records import TOMBSTONE, TopicPartition

OTHER = TopicPartition("reviews.in", 1)
NEVER_S = 3600.0


class World(DeliveryWorld):
    """A collector over a fake broker, and an owner of two partitions."""

    def __init__(self, *, interval_s: float = 0.0, max_waiting: int = 1_000, **options: int) -> None:
        super().__init__(**options)
        self.owner = Owner()
        self.fenced: list[TopicPartition] = []
        self.collector = self.another(interval_s=interval_s, max_waiting=max_waiting)
        self.commits: list[dict[TopicPartition, int]] = []
        self.broker.on_commit.append(lambda _, offsets: self.commits.append(dict(offsets)))

    def another(self, *, interval_s: float = 0.0, max_waiting: int = 1_000) -> TransactionalCollector:
        """One more collector over the same broker."""
        return TransactionalCollector(
            group=GROUP,
            new_transactions=self.new_transactions,
            outcomes=self.outcomes,
            interval_s=interval_s,
            max_waiting=max_waiting,
            clock=self.clock,
            metrics=self.metrics,
            on_fenced=self.fenced.append,
            on_failure=self.errors.append,
        )

    def committed(self) -> dict[TopicPartition, int]:
        return self.broker.committed(GROUP)

    def sources(self, partition: TopicPartition = OUTPUT) -> list[bytes | None]:
        return [dict(record.headers)["source"] for record in self.broker.records(partition)]


@pytest.fixture
async def world() -> AsyncIterator[World]:
    world = World()
    await world.collector.take_over([INPUT, OTHER])
    yield world
    await world.collector.stop()


async def test_outputs_dead_letters_and_offsets_are_stored_together(world: World) -> None:
    world.collector.send([entry(0), entry(1, REJECTED), entry(2, TOMBSTONE), entry(5)], world.owner)
    await world.collector.flush()
    assert [value is None for value in world.values(OUTPUT)] == [False, True, False]
    assert world.values(DEAD) == [b'{"text": "1"}']
    assert world.committed() == {INPUT: 6} == world.owner.stored
    assert world.owner.acknowledgements == [(INPUT, [0, 1, 2, 5])]
    assert world.metric("events_out_total") == 2
    assert world.metric("transactions_total", outcome="committed") == 1


async def test_what_arrives_within_an_interval_shares_the_next_transaction() -> None:
    world = World(interval_s=NEVER_S)
    await world.collector.take_over([INPUT])
    world.collector.send([entry(0)], world.owner)
    await until(lambda: world.committed() == {INPUT: 1})  # an idle lane does not wait
    for offset in range(1, 6):
        world.collector.send([entry(offset)], world.owner)
        await asyncio.sleep(0)
    assert world.committed() == {INPUT: 1}
    await world.collector.flush()  # and whoever waits for the end does not wait for the interval
    assert world.commits == [{INPUT: 1}, {INPUT: 6}]
    await world.collector.stop()


async def test_so_many_that_intake_would_soon_wait_do_not_wait_for_the_interval() -> None:
    world = World(interval_s=NEVER_S, max_waiting=4)
    await world.collector.take_over([INPUT])
    world.collector.send([entry(0)], world.owner)
    await until(lambda: world.committed() == {INPUT: 1})
    world.collector.send([entry(1), entry(2), entry(3)], world.owner)
    await asyncio.sleep(0)
    assert world.committed() == {INPUT: 1}
    world.collector.send([entry(4)], world.owner)
    await until(lambda: world.committed() == {INPUT: 5})
    await world.collector.stop()


async def test_a_transaction_that_fails_is_made_again(world: World) -> None:
    world.faults.fail()
    world.collector.send([entry(0), entry(1)], world.owner)
    await world.collector.flush()
    assert len(world.values(OUTPUT)) == 2
    assert world.commits == [{INPUT: 2}]
    assert world.metric("transactions_total", outcome="failed") == 1


async def test_after_failures_in_a_row_each_pause_is_longer_and_only_the_first_is_a_warning(
    world: World, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level("INFO")
    monkeypatch.setattr(transaction_lane, "FIRST_PAUSE_S", 0.02)
    monkeypatch.setattr(transaction_lane, "LONGEST_PAUSE_S", 0.08)
    await world.collector.take_over([INPUT])
    for _ in range(5):
        world.faults.fail()
    began = time.monotonic()
    world.collector.send([entry(0)], world.owner)
    await until(lambda: world.committed() == {INPUT: 1})
    assert time.monotonic() - began > 0.02 + 0.04 + 3 * 0.08
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"], "when it begins, and when it ends"
    caplog.clear()
    world.faults.fail()
    world.collector.send([entry(1)], world.owner)
    await world.collector.flush()
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"], "and the next row is told again"


async def test_whoever_waits_for_the_end_does_not_wait_for_a_long_pause(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transaction_lane, "LONGEST_PAUSE_S", NEVER_S)
    world.faults.fail()
    world.collector.send([entry(0)], world.owner)
    (lane,) = [lane for lane in world.collector._lanes.values() if lane.waiting]
    lane._pause_s = NEVER_S
    await until(lambda: world.metric("transactions_total", outcome="failed") == 1)
    await asyncio.sleep(0.01)
    world.faults.fail()
    world.faults.fail()
    async with asyncio.timeout(5):
        await world.collector.flush()
    assert world.committed() == {INPUT: 1}


async def test_a_transaction_whose_answer_is_lost_is_not_made_again(world: World) -> None:
    world.faults.fail(committed=True)
    world.collector.send([entry(0), entry(1)], world.owner)
    await world.collector.flush()
    world.collector.send([entry(2)], world.owner)
    await world.collector.flush()
    assert world.sources() == [b"reviews.in/0/0", b"reviews.in/0/1", b"reviews.in/0/2"]
    assert world.owner.offsets == {0, 1, 2}
    assert world.owner.stored == {INPUT: 3}


async def test_one_that_is_fenced_gives_its_partition_up_and_the_others_go_on(world: World) -> None:
    other = world.another()
    await other.take_over([INPUT])
    world.collector.send([entry(0)], world.owner)
    world.collector.send([entry(0, partition=OTHER)], world.owner)
    await world.collector.flush()
    assert world.fenced == [INPUT]
    assert world.committed() == {OTHER: 1}
    assert world.errors == []
    other.send([entry(0)], Owner())
    await other.flush()
    assert sorted(filter(None, world.sources())) == [b"reviews.in/0/0", b"reviews.in/1/0"]
    await other.stop()


async def test_one_that_is_fenced_again_and_again_is_told_that_it_may_be_another_group(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    for offset, passed_s in enumerate((0, 10, FENCED_AGAIN_S)):
        world.clock.advance(passed_s)
        await world.collector.take_over([INPUT])
        await world.another().take_over([INPUT])
        world.collector.send([entry(offset)], world.owner)
        await world.collector.flush()
    told = [record.message for record in caplog.records if record.name.startswith("worker")]
    assert ["same transactional id group.reviews.in.0" in message for message in told] == [False, True, False]


async def test_one_that_finds_the_offset_moved_after_a_failure_gives_the_partition_up(world: World) -> None:
    """It has opened the partition again, and so fenced whoever moved it; that one takes it over once more."""
    world.faults.fail()
    world.broker.commit(GROUP, {INPUT: 7})
    world.collector.send([entry(0)], world.owner)
    await world.collector.flush()
    assert world.fenced == [INPUT]
    assert world.values(OUTPUT) == []


async def test_a_record_that_the_broker_refuses_becomes_a_dead_letter_and_its_neighbours_are_published(
    world: World,
) -> None:
    world.broker.limit_batch_bytes("reviews.classified", 1_500)
    large = entry(5, value=b'{"text": "%s"}' % (b"x" * 2_000))
    world.collector.send([*map(entry, range(5)), large, *map(entry, range(6, 10))], world.owner)
    await world.collector.flush()
    assert len(world.values(OUTPUT)) == 9
    (letter,) = world.broker.records(DEAD)
    assert letter.value == large.record.value
    assert dict(letter.headers)["reviews_worker.errors.reason"] == b"output_too_large"
    assert world.committed() == {INPUT: 10}
    assert world.errors == []


async def test_records_without_a_key_that_a_compacted_topic_does_not_take_cost_a_few_transactions_and_no_fuse() -> None:
    world = World(run_length=3)
    await world.collector.take_over([INPUT])
    world.broker.take_keys_only("reviews.classified")
    world.collector.send([entry(offset, key=b"key" if offset % 4 else None) for offset in range(40)], world.owner)
    await world.collector.flush()
    assert (len(world.values(OUTPUT)), len(world.values(DEAD))) == (30, 10)
    assert world.metric("dead_letters_total", reason="output_refused") == 10
    assert world.commits == [{INPUT: 40}]
    assert (world.metric("transactions_total", outcome="failed") or 0) < 10
    assert world.errors == []
    await world.collector.stop()


@pytest.mark.parametrize(
    "refused",
    [{"key": None}, {"value": b'{"text": "%s"}' % (b"x" * 2_000)}],
    ids=["without a key", "too large"],
)
async def test_refused_records_in_a_row_blow_the_fuse(refused: dict[str, Any]) -> None:
    world = World(run_length=3)
    await world.collector.take_over([INPUT])
    world.broker.take_keys_only("reviews.classified")
    world.broker.limit_batch_bytes("reviews.classified", 1_500)
    world.collector.send([entry(offset, **refused) for offset in range(5)], world.owner)
    await world.collector.flush()
    assert [type(error) for error in world.errors] == [FuseError]
    await world.collector.stop()


async def test_a_dead_letter_that_is_too_large_stops_the_worker(world: World) -> None:
    world.broker.limit_batch_bytes("reviews.dlq", 1_000)
    world.collector.send([entry(0, REJECTED, value=b"x" * 2_000)], world.owner)
    await world.collector.flush()
    (error,) = world.errors
    assert isinstance(error, DeliveryError)
    assert "reviews.in/0/0" in str(error)
    assert world.committed() == {}


async def test_when_the_fuse_blows_what_came_before_is_published_and_nothing_after() -> None:
    world = World(run_length=2)
    await world.collector.take_over([INPUT])
    with pytest.raises(FuseError):
        world.collector.send([entry(0), entry(1, REJECTED), entry(2, REJECTED), entry(3)], world.owner)
    await world.collector.flush()
    assert world.committed() == {INPUT: 2}


async def test_nothing_of_an_owner_that_is_closed_is_published(world: World) -> None:
    world.owner.closed = True
    world.collector.send([entry(0)], world.owner)
    await world.collector.flush()
    assert world.values(OUTPUT) == []
    assert world.committed() == {}


async def test_what_an_assignment_left_behind_is_dropped_and_what_is_live_behind_it_is_not(world: World) -> None:
    world.collector.send([entry(0)], world.owner)
    await world.collector.flush()
    old, world.owner.stored = Owner(closed=True), {INPUT: 1}
    world.collector.send([entry(offset) for offset in range(1, 100)], old)
    world.collector.send([entry(1)], world.owner)
    await world.collector.flush()
    assert world.sources() == [b"reviews.in/0/0", b"reviews.in/0/1"]
    assert world.committed() == {INPUT: 2}


async def test_what_is_on_its_way_when_the_assignment_ends_is_all_or_nothing(world: World) -> None:
    world.faults.hold()
    world.collector.send([entry(0), entry(1)], world.owner)
    await asyncio.sleep(0)
    world.collector.retire()
    world.faults.release()
    await world.collector.stop()
    assert (world.values(OUTPUT), world.committed()) == ([], {})


async def test_taking_over_waits_for_the_broker(world: World) -> None:
    world.broker.go_away()
    taking_over = asyncio.create_task(world.another().take_over([INPUT]))
    await asyncio.sleep(0)
    assert not taking_over.done()
    world.broker.come_back()
    await taking_over
