"""What comes in order, what comes again because it was sought, and what comes again by itself."""

from __future__ import annotations

import pytest
from faust.types import TP

from worker.faust_app.handed_over import HandedOver

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
