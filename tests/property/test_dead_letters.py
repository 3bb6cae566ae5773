"""The fuse against the plainest possible model of it."""

from __future__ import annotations

from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from worker.delivery.dead_letters import DeadLetterFuse
from worker.errors import FuseError, Reason

HISTORIES = st.lists(st.tuples(st.booleans(), st.integers(1, 12)), max_size=30)
"""Runs of events: dead or classified, and how many."""


def over_a_limit(events: list[bool], share: Fraction, window: int, run_length: int) -> bool:
    """Say whether these events, the newest last, blow the fuse."""
    last = events[-window:]
    full_and_over = len(last) == window and sum(last) >= share * window
    return full_and_over or (len(events) >= run_length and all(events[-run_length:]))


@given(HISTORIES, st.integers(1, 100), st.integers(1, 20), st.integers(1, 15))
def test_the_fuse_blows_at_the_limits_never_below_and_always_there(
    history: list[tuple[bool, int]], percent: int, window: int, run_length: int
) -> None:
    fuse = DeadLetterFuse(percent / 100, window, run_length)
    events: list[bool] = []
    for dead, count in history:
        expected = False
        for _ in range(count):
            events.append(dead)
            expected = expected or over_a_limit(events, Fraction(percent, 100), window, run_length)
            if expected:
                break
        blown = False
        try:
            if dead:
                for _ in range(count):
                    fuse.record(dead=True, reason=Reason.NOT_JSON)
            else:
                fuse.record_classified(count)
        except FuseError:
            blown = True
        assert blown == expected
        if blown:
            return


@given(st.lists(st.integers(0, 30), max_size=10), st.lists(st.booleans(), max_size=20), st.integers(1, 20))
def test_counting_in_bulk_is_counting_one_by_one(counts: list[int], deads: list[bool], window: int) -> None:
    def outcome(bulk: bool) -> str:
        fuse = DeadLetterFuse(0.5, window, 1000)
        try:
            for count, dead in zip(counts, deads, strict=False):
                for size in [count] if bulk else [1] * count:
                    fuse.record_classified(size)
                fuse.record(dead)
        except FuseError as error:
            return str(error)
        return "whole"

    assert outcome(bulk=True) == outcome(bulk=False)
