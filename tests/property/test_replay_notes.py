"""The memory of a replay against plain sets: any letters, any gaps, any filters, any number of runs."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.replay.notes import Note, Ranges, Replayed, Witness
from worker.replay.offset_set import OffsetSet

OFFSETS = st.integers(0, 10_000) | st.sampled_from([4095, 4096, 8191, 8192])
STRETCHES = st.lists(st.tuples(OFFSETS, st.integers(0, 9000)), max_size=8)
LETTERS = st.lists(st.integers(0, 300), max_size=60, unique=True).map(sorted)
WITNESS = Witness(0, "reviews.in/0/0", 0)


@given(STRETCHES, OFFSETS)
def test_a_set_of_offsets_is_a_set(stretches: list[tuple[int, int]], start: int) -> None:
    offsets, model = OffsetSet(), set[int]()
    for first, length in stretches:
        offsets.add(first, first + length)
        model |= set(range(first, first + length + 1))
    around = {edge + step for first, length in stretches for edge in (first, first + length) for step in (-1, 0, 1)}
    assert all((offset in offsets) == (offset in model) for offset in around | {start} if offset >= 0)
    assert offsets.first_missing(start) == next(offset for offset in range(start, 30_000) if offset not in model)


@pytest.mark.parametrize(("first", "last"), [(-1, 3), (4, 3)])
def test_what_is_no_range_is_refused(first: int, last: int) -> None:
    with pytest.raises(ValueError, match="no range"):
        OffsetSet().add(first, last)


@given(LETTERS, st.data())
def test_whatever_each_run_chooses_a_letter_is_replayed_once_and_nothing_else_is_noted(
    letters: list[int], data: st.DataObject
) -> None:
    notes: list[bytes] = []
    sent: list[int] = []
    for _ in range(data.draw(st.integers(1, 4), "runs")):
        replayed = Replayed("reviews.in", map(Note.from_bytes, notes))
        chosen = data.draw(st.sets(st.sampled_from(letters)) if letters else st.just(set[int]()), "chosen")
        ranges, waiting = Ranges(), 0
        start = replayed.first_open(0, 0)
        assert all(letter in sent for letter in letters if letter < start)
        for letter in (letter for letter in letters if letter >= start):
            if replayed.holds(0, letter):
                ranges.replayed_before(letter)
            elif letter in chosen:
                ranges.sent(letter)
                sent.append(letter)
                waiting += 1
            else:
                ranges.left()
            if waiting == 3:  # a transaction, and it is the last of its run now and then
                notes.append(Note(0, ranges.take(), "reviews.in", "", WITNESS).to_bytes())
                waiting = 0
        if waiting:
            notes.append(Note(0, ranges.take(), "reviews.in", "", WITNESS).to_bytes())
    replayed = Replayed("reviews.in", map(Note.from_bytes, notes))
    assert len(sent) == len(set(sent))
    assert {letter for letter in letters if replayed.holds(0, letter)} == set(sent)


@given(LETTERS)
def test_letters_that_are_all_replayed_are_one_stretch_whatever_lies_between_them(letters: list[int]) -> None:
    ranges = Ranges()
    for letter in letters:
        ranges.sent(letter)
    assert ranges.take() == (((letters[0], letters[-1]),) if letters else ())
    assert ranges.take() == ()
