"""What comes in order, what comes again because it was sought, and what comes again by itself."""

from __future__ import annotations

import pytest
from faust.types import TP
from hypothesis import given
from hypothesis import strategies as st

from worker.source.delivered_ranges import HandedOver

PLACE, OTHER = TP("reviews.in", 0), TP("reviews.in", 1)


@pytest.fixture
def handed_over() -> HandedOver:
    handed_over = HandedOver()
    assert handed_over.add(PLACE, 10, 15) is None
    assert handed_over.add(PLACE, 15, 20) == 15
    return handed_over


def test_each_run_follows_the_one_before_whatever_gap_is_between(handed_over: HandedOver) -> None:
    assert handed_over.add(PLACE, 33, 40) == 20
    assert handed_over.until(PLACE) == 40
    assert handed_over.until(OTHER) is None


def test_what_comes_again_by_itself_is_of_a_partition_that_begins_anew(handed_over: HandedOver) -> None:
    assert not handed_over.begins_anew(PLACE, 20)
    assert handed_over.begins_anew(PLACE, 19)
    assert not handed_over.begins_anew(OTHER, 0)


@pytest.mark.parametrize(("stored", "wanted"), [({}, 10), ({PLACE: 9}, 10), ({PLACE: 17}, 17)])
def test_sought_is_what_was_handed_over_and_not_stored(
    stored: dict[TP, int], wanted: int, handed_over: HandedOver
) -> None:
    assert handed_over.seek_back(stored) == {PLACE: wanted}
    assert handed_over.sought(PLACE, 99) == wanted
    assert not handed_over.begins_anew(PLACE, wanted)
    assert handed_over.begins_anew(PLACE, wanted - 1)


def test_nothing_is_sought_where_all_is_stored_so_what_comes_again_begins_anew(handed_over: HandedOver) -> None:
    assert handed_over.seek_back({PLACE: 20}) == {}
    assert handed_over.sought(PLACE, 99) == 99
    assert handed_over.begins_anew(PLACE, 0)
    assert handed_over.begins_anew(PLACE, 19)


@given(
    first=st.integers(0, 50),
    lengths=st.lists(st.integers(1, 20), min_size=1, max_size=5),
    stored=st.integers(0, 150),
    comes=st.integers(0, 150),
)
def test_records_begin_anew_exactly_when_they_lie_below_all_that_is_expected(
    first: int, lengths: list[int], stored: int, comes: int
) -> None:
    handed_over, end = HandedOver(), first
    for length in lengths:
        handed_over.add(PLACE, end, end + length)
        end += length
    stored = min(stored, end)
    assert handed_over.begins_anew(PLACE, comes) == (comes < end)
    sought = handed_over.seek_back({PLACE: stored})
    assert sought == ({PLACE: max(first, stored)} if stored < end else {})
    assert handed_over.begins_anew(PLACE, comes) == (comes < max(first, stored))


def test_what_was_sought_comes_again_once(handed_over: HandedOver) -> None:
    handed_over.seek_back({})
    assert not handed_over.begins_anew(PLACE, 10)
    assert handed_over.add(PLACE, 10, 12) is None
    assert handed_over.add(PLACE, 12, 25) == 12
    assert handed_over.begins_anew(PLACE, 10)


def test_records_that_were_on_their_way_when_it_was_sought_do_not_use_that_up(handed_over: HandedOver) -> None:
    handed_over.seek_back({})
    assert handed_over.add(PLACE, 20, 22) == 20
    assert not handed_over.begins_anew(PLACE, 10)


def test_the_next_assignment_begins_with_nothing(handed_over: HandedOver) -> None:
    handed_over.seek_back({})
    handed_over.clear()
    assert handed_over.seek_back({}) == {}
    assert handed_over.add(PLACE, 3, 5) is None
    assert handed_over.begins_anew(PLACE, 3)
