"""One lane: order, groups, and what happens when a group is refused."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence

import pytest
from pipeline_parts import make_chunk, make_entries, until

from worker.clock import FakeClock
from worker.delivery.lane import (
    FULL_GROUP_RECORDS,
    GROUP_INTERVAL_S,
    LATE_GROUP_INTERVAL_S,
    LATE_S,
    Item,
    Lane,
)
from worker.errors import Reason, RecordRefusedError, RecordTooLargeError
from worker.records import Entry, OutputRecord, TopicPartition


class Owner:
    """An assignment that notes what is acknowledged."""

    def __init__(self) -> None:
        self.closed = False

    def acknowledged(self, partition: TopicPartition, entries: Sequence[Entry]) -> None: ...


class Events:
    """What a lane asks for: takes groups when it is open, refuses what is marked as too large."""

    def __init__(self) -> None:
        self.groups: list[list[int]] = []
        self.tried: list[int] = []
        self.refused: list[int] = []
        self.reasons: set[Reason] = set()
        self.errors: list[BaseException] = []
        self.too_large: set[int] = set()
        self.invalid: set[int] = set()
        self.known: set[int] = set()
        """Not even sent."""
        self.renewed: list[Item] = []
        """What is to be published in place of the next that is refused."""
        self.batch_records = 10_000
        self.error: Exception | None = None
        self.open = asyncio.Event()
        self.open.set()

    async def publish(self, topic: str, partition: int, items: Sequence[Item]) -> int:
        offsets = [entry.record.offset for _, entry, _ in items]
        self.tried.append(len(offsets))
        await self.open.wait()
        if self.error is not None:
            raise self.error
        if self.too_large.intersection(offsets):
            raise RecordTooLargeError("too large")
        if self.invalid.intersection(offsets):
            raise RecordRefusedError("without a key")
        offsets = offsets[: self.batch_records]
        self.groups.append(offsets)
        return len(offsets)

    def known_refusals(self, items: Sequence[Item]) -> Mapping[int, Reason]:
        known = [index for index, item in enumerate(items) if item[1].record.offset in self.known]
        return dict.fromkeys(known, Reason.TIMESTAMP_REFUSED)

    def refuse(self, items: Sequence[Item], refused: Mapping[int, Reason]) -> Sequence[Item]:
        self.refused += [items[index][1].record.offset for index in sorted(refused) if index < len(items)]
        self.reasons.update(refused.values())
        renewed, self.renewed = self.renewed, []
        return renewed

    def fail(self, error: BaseException) -> None:
        self.errors.append(error)

    @property
    def published(self) -> list[int]:
        return [offset for group in self.groups for offset in group]


class Pauses:
    """Time that passes when the lane pauses, and only then."""

    def __init__(self, clock: FakeClock) -> None:
        self.clock = clock
        self.seconds: list[float] = []

    async def __call__(self, seconds: float) -> None:
        self.seconds.append(seconds)
        await asyncio.sleep(0)
        self.clock.advance(seconds)


@pytest.fixture
def events() -> Events:
    return Events()


@pytest.fixture
def pauses() -> Pauses:
    return Pauses(FakeClock(monotonic=1_000.0 + GROUP_INTERVAL_S / 4))


@pytest.fixture
async def lane(events: Events, pauses: Pauses) -> AsyncIterator[Lane]:
    lane = Lane("out", 0, events, pauses.clock, pauses)
    yield lane
    lane.routine.cancel()
    await asyncio.gather(lane.routine, return_exceptions=True)


def items(offsets: Sequence[int], owner: Owner, *, waiting_since: float = 1_000.0) -> list[Item]:
    entries = make_entries(make_chunk(offsets).records)
    for entry in entries:
        entry.waiting_since = waiting_since
    return [(OutputRecord("out", 0, None, b"{}", (), 0), entry, owner) for entry in entries]


async def test_an_idle_lane_sends_at_once(lane: Lane, events: Events, pauses: Pauses) -> None:
    lane.extend(items([0], Owner()))
    await lane.flush()
    assert events.groups == [[0]]
    assert pauses.seconds == []


async def test_under_load_a_group_gathers_until_the_next_tick(lane: Lane, events: Events, pauses: Pauses) -> None:
    owner = Owner()
    events.open.clear()
    lane.extend(items([0], owner))
    await until(lambda: events.tried == [1])
    lane.extend(items([1, 2], owner))
    lane.extend(items([3], owner))
    events.open.set()
    await lane.flush()
    assert events.groups == [[0], [1, 2, 3]]
    assert pauses.seconds == [pytest.approx(GROUP_INTERVAL_S * 3 / 4)]


async def test_events_that_are_late_already_gather_for_longer(lane: Lane, events: Events, pauses: Pauses) -> None:
    owner, long_ago = Owner(), pauses.clock.monotonic() - LATE_S - 0.1
    lane.extend(items([0], owner, waiting_since=long_ago))
    await lane.flush()
    lane.extend(items([1], owner, waiting_since=long_ago))
    await lane.flush()
    assert events.groups == [[0], [1]]
    assert pauses.seconds == [pytest.approx(LATE_GROUP_INTERVAL_S - GROUP_INTERVAL_S / 4)]


async def test_a_group_that_is_full_does_not_wait(lane: Lane, events: Events, pauses: Pauses) -> None:
    owner = Owner()
    lane.extend(items([0], owner))
    await lane.flush()
    lane.extend(items(range(1, FULL_GROUP_RECORDS + 1), owner))
    await lane.flush()
    assert [len(group) for group in events.groups] == [1, FULL_GROUP_RECORDS]
    assert pauses.seconds == []


async def test_what_a_batch_does_not_take_comes_first_in_the_next(lane: Lane, events: Events) -> None:
    events.batch_records = 3
    lane.extend(items(range(10), Owner()))
    await lane.flush()
    assert events.published == list(range(10))
    assert [len(group) for group in events.groups] == [3, 3, 3, 1]


@pytest.mark.parametrize("too_large", [{0}, {9}, {4}, {0, 1, 9}, set(range(10))])
async def test_only_the_records_that_are_too_large_are_refused(lane: Lane, events: Events, too_large: set[int]) -> None:
    events.too_large = too_large
    lane.extend(items(range(10), Owner()))
    await lane.flush()
    assert events.refused == sorted(too_large)
    assert events.reasons == {Reason.OUTPUT_TOO_LARGE}
    assert events.published == [offset for offset in range(10) if offset not in too_large]


async def test_a_record_that_is_refused_for_something_else_is_found_in_the_same_way(lane: Lane, events: Events) -> None:
    events.invalid = {4}
    lane.extend(items(range(10), Owner()))
    await lane.flush()
    assert (events.refused, events.reasons) == ([4], {Reason.OUTPUT_REFUSED})
    assert events.published == [0, 1, 2, 3, 5, 6, 7, 8, 9]


@pytest.mark.parametrize("batch_records", [1, 3, 100])
async def test_what_is_known_to_be_refused_is_not_sent_and_keeps_its_place_among_what_is_found_out(
    lane: Lane, events: Events, batch_records: int
) -> None:
    events.invalid, events.known, events.batch_records = {2, 11, 19}, {0, 3, 4, 10, 12, 18}, batch_records
    lane.extend(items(range(20), Owner()))
    await lane.flush()
    assert events.refused == sorted(events.invalid | events.known)
    assert events.published == [offset for offset in range(20) if offset not in events.invalid | events.known]


async def test_all_that_is_known_to_be_refused_costs_no_try(lane: Lane, events: Events) -> None:
    events.known = set(range(10))
    lane.extend(items(range(10), Owner()))
    await lane.flush()
    assert (events.refused, events.tried) == (list(range(10)), [])


async def test_what_is_renewed_is_published_in_its_place_and_waited_for(lane: Lane, events: Events) -> None:
    events.invalid, events.renewed = {1}, items([7], Owner())
    lane.extend(items(range(3), Owner()))
    await lane.flush()
    assert events.published == [0, 7, 2]


async def test_a_record_that_is_too_large_among_many_costs_few_tries(lane: Lane, events: Events) -> None:
    events.too_large = {700}
    lane.extend(items(range(1_000), Owner()))
    await lane.flush()
    assert events.refused == [700]
    assert len(events.tried) < 60


async def test_nothing_of_a_closed_owner_is_published(lane: Lane, events: Events) -> None:
    old, new = Owner(), Owner()
    old.closed = True
    lane.extend([*items([0, 1], old), *items([0, 1, 2], new)])
    await lane.flush()
    assert events.published == [0, 1, 2]


@pytest.mark.parametrize("stale", [100, 511])
async def test_what_an_assignment_left_behind_delays_the_next_by_nothing(
    lane: Lane, events: Events, pauses: Pauses, stale: int
) -> None:
    old, new = Owner(), Owner()
    lane.extend(items([0], old))
    await lane.flush()
    old.closed = True
    lane.extend([*items(range(stale), old), *items([7], new, waiting_since=0.0)])
    await lane.flush()
    assert events.groups == [[0], [7]]
    assert len(pauses.seconds) <= 1, "one group's tick, however many items are stale"


async def test_an_owner_that_closes_while_a_group_gathers_is_left_out(
    lane: Lane, events: Events, pauses: Pauses
) -> None:
    owner = Owner()
    lane.extend(items([0], owner))
    await lane.flush()
    lane.extend(items([1, 2], owner))
    owner.closed = True
    await lane.flush()
    assert events.published == [0]


async def test_an_error_ends_the_lane_and_is_told_and_nobody_waits_for_it(lane: Lane, events: Events) -> None:
    events.error = RuntimeError("no rights")
    lane.extend(items([0, 1], Owner()))
    await lane.flush()
    assert [str(error) for error in events.errors] == ["no rights"]
    lane.extend(items([2], Owner()))
    await lane.flush()
    assert events.published == []


async def test_flush_waits_for_what_was_queued_before_it_only(lane: Lane, events: Events) -> None:
    await lane.flush()
    owner = Owner()
    events.open.clear()
    lane.extend(items([0], owner))
    flushed = asyncio.create_task(lane.flush())
    await until(lambda: events.tried == [1])
    assert not flushed.done()
    lane.extend(items([1], owner))
    events.open.set()
    await flushed
    assert events.groups[0] == [0]
