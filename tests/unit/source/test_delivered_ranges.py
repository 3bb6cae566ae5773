"""What comes in order, what comes again because it was sought, and what comes again by itself."""

from __future__ import annotations

import pytest
from faust.types import TP
from hypothesis import given
from hypothesis import strategies as st

from worker.source.delivered_ranges import DeliveredRanges

PLACE, OTHER = TP("reviews.in", 0), TP("reviews.in", 1)


@pytest.fixture
def delivered() -> DeliveredRanges:
    delivered = DeliveredRanges()
    assert delivered.add(PLACE, 10, 15) is None
    assert delivered.add(PLACE, 15, 20) == 15
    return delivered


def test_each_run_follows_the_one_before_whatever_gap_is_between(delivered: DeliveredRanges) -> None:
    assert delivered.add(PLACE, 33, 40) == 20
    assert delivered.until(PLACE) == 40
    assert delivered.until(OTHER) is None


def test_what_comes_again_by_itself_is_of_a_partition_that_begins_anew(delivered: DeliveredRanges) -> None:
    assert not delivered.begins_anew(PLACE, 20)
    assert delivered.begins_anew(PLACE, 19)
    assert not delivered.begins_anew(OTHER, 0)


@pytest.mark.parametrize(("stored", "wanted"), [({}, 10), ({PLACE: 9}, 10), ({PLACE: 17}, 17)])
def test_sought_is_what_was_handed_over_and_not_stored(
    stored: dict[TP, int], wanted: int, delivered: DeliveredRanges
) -> None:
    assert delivered.seek_back(stored) == {PLACE: wanted}
    assert delivered.sought(PLACE, 99) == wanted
    assert not delivered.begins_anew(PLACE, wanted)
    assert delivered.begins_anew(PLACE, wanted - 1)


def test_nothing_is_sought_where_all_is_stored_so_what_comes_again_begins_anew(delivered: DeliveredRanges) -> None:
    assert delivered.seek_back({PLACE: 20}) == {}
    assert delivered.sought(PLACE, 99) == 99
    assert delivered.begins_anew(PLACE, 0)
    assert delivered.begins_anew(PLACE, 19)


@given(
    first=st.integers(0, 50),
    lengths=st.lists(st.integers(1, 20), min_size=1, max_size=5),
    stored=st.integers(0, 150),
    comes=st.integers(0, 150),
)
def test_records_begin_anew_exactly_when_they_lie_below_all_that_is_expected(
    first: int, lengths: list[int], stored: int, comes: int
) -> None:
    delivered, end = DeliveredRanges(), first
    for length in lengths:
        delivered.add(PLACE, end, end + length)
        end += length
    stored = min(stored, end)
    assert delivered.begins_anew(PLACE, comes) == (comes < end)
    sought = delivered.seek_back({PLACE: stored})
    assert sought == ({PLACE: max(first, stored)} if stored < end else {})
    assert delivered.begins_anew(PLACE, comes) == (comes < max(first, stored))


def test_what_was_sought_comes_again_once(delivered: DeliveredRanges) -> None:
    delivered.seek_back({})
    assert not delivered.begins_anew(PLACE, 10)
    assert delivered.add(PLACE, 10, 12) is None
    assert delivered.add(PLACE, 12, 25) == 12
    assert delivered.begins_anew(PLACE, 10)


def test_records_that_were_on_their_way_when_it_was_sought_do_not_use_that_up(delivered: DeliveredRanges) -> None:
    delivered.seek_back({})
    assert delivered.add(PLACE, 20, 22) == 20
    assert not delivered.begins_anew(PLACE, 10)


def test_the_next_assignment_begins_with_nothing(delivered: DeliveredRanges) -> None:
    delivered.seek_back({})
    delivered.clear()
    assert delivered.seek_back({}) == {}
    assert delivered.add(PLACE, 3, 5) is None
    assert delivered.begins_anew(PLACE, 3)
