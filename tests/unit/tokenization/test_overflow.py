"""Where windows lie, and what is refused."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.errors import UsageError
from worker.tokenization.overflow import DEFAULT_OVERFLOW, MARKERS, MOST_WINDOWS, Overflow


@st.composite
def cases(draw: st.DrawFn) -> tuple[Overflow, int, int]:
    """An overflow with windows, a room that its overlap fits into, and tokens that it reads."""
    room = draw(st.integers(1, 60))
    overlap = draw(st.one_of(st.none(), st.integers(0, room - 1)))
    overflow = Overflow("windows", overlap, draw(st.integers(1, MOST_WINDOWS)))
    return overflow, room, draw(st.integers(0, overflow.most_tokens(room)))


@given(cases())
def test_windows_hold_every_token_and_neighbours_share_enough(case: tuple[Overflow, int, int]) -> None:
    overflow, room, tokens = case
    spans = overflow.window_spans(tokens, room)
    assert len(spans) <= overflow.max_windows
    assert (spans[0][0], spans[-1][1]) == (0, tokens)
    assert all(0 <= end - start <= room for start, end in spans)
    for (start, end), (next_start, next_end) in itertools.pairwise(spans):
        assert start < next_start
        assert end < next_end
        assert end - next_start >= overflow.overlap_tokens(room)


@given(cases())
def test_windows_are_as_few_as_can_be_and_of_one_length_without_excess(case: tuple[Overflow, int, int]) -> None:
    overflow, room, tokens = case
    spans = overflow.window_spans(tokens, room)
    lengths = {end - start for start, end in spans}
    assert len(lengths) == 1
    count, overlap = len(spans), overflow.overlap_tokens(room)
    if count > 1:
        assert tokens > room + (count - 2) * (room - overlap), "one window fewer would do"
        assert count * (lengths.pop() - 1) < tokens + (count - 1) * overlap, "a shorter window would do"


def test_a_text_a_little_longer_than_the_model_makes_two_windows_of_half_its_length() -> None:
    assert Overflow("windows", 64).window_spans(520, 510) == [(0, 292), (228, 520)]
    assert Overflow("windows", 0).window_spans(511, 510) == [(0, 256), (255, 511)]
    assert Overflow("windows", 64).window_spans(510, 510) == [(0, 510)]


def test_the_most_that_is_read_fills_all_windows() -> None:
    overflow = Overflow("windows", window_overlap_tokens=10, max_windows=3)
    assert overflow.most_tokens(100) == 280
    assert overflow.window_spans(280, 100) == [(0, 100), (90, 190), (180, 280)]
    assert Overflow("truncate").most_tokens(100) == Overflow("head_tail").most_tokens(100) == 100


def test_the_head_gets_what_the_paper_gives_it() -> None:
    assert Overflow("head_tail").head_tokens(510) == 128
    assert Overflow("head_tail", head_share=0.0).head_tokens(510) == 0
    assert Overflow("head_tail", head_share=1.0).head_tokens(510) == 510


def test_windows_that_would_not_advance_are_refused_with_both_names() -> None:
    with pytest.raises(UsageError, match=r"window_overlap_tokens is 62, .*max_length of 64 .* set it to 61 or less"):
        Overflow("windows", window_overlap_tokens=62).check(64)
    Overflow("windows", window_overlap_tokens=61).check(64)
    Overflow("truncate", window_overlap_tokens=62).check(64)


@pytest.mark.parametrize("max_length", [3, 4, 8, 16, 64, 66, 128, 512, 4096])
def test_the_overlap_without_a_word_is_an_eighth_and_suits_every_model(max_length: int) -> None:
    overflow = Overflow("windows")
    overflow.check(max_length)
    assert overflow.overlap_tokens(max_length - MARKERS) == max_length // 8


@pytest.mark.parametrize(
    "values",
    [
        {"policy": "cut"},
        {"window_overlap_tokens": -1},
        {"max_windows": 0},
        {"max_windows": MOST_WINDOWS + 1},
        {"head_share": 1.5},
    ],
)
def test_what_makes_no_sense_is_refused(values: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        Overflow(**values)  # type: ignore[arg-type]


def test_the_default_is_one_of_a_kind() -> None:
    assert Overflow() == DEFAULT_OVERFLOW
