"""The few shapes that batches may have on a GPU."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence


class ShapeLadder:
    """Rounds the shape of a batch up to a rung, so that a session sees few shapes.

    A GPU session keeps memory, and sometimes a plan, for each shape that it meets; a small ladder bounds both.

    `lengths` and `rows` are the rungs, in tokens and in reviews, in any order. The longest length rung must hold the
    longest review and the largest row rung ``max_batch_reviews``. Raises ValueError for an empty ladder and for a rung
    below one.
    """

    def __init__(self, lengths: Sequence[int], rows: Sequence[int]) -> None:
        self.lengths = _rungs("lengths", lengths)
        self.rows = _rungs("rows", rows)

    def round_length(self, length: int) -> int:
        """The smallest rung that holds `length` tokens; raises ValueError beyond the last rung."""
        return _round_up(self.lengths, length, "tokens")

    def round_rows(self, rows: int) -> int:
        """The smallest rung that holds `rows` reviews; raises ValueError beyond the last rung."""
        return _round_up(self.rows, rows, "reviews")

    def __repr__(self) -> str:
        return f"ShapeLadder(lengths={self.lengths}, rows={self.rows})"


def _rungs(name: str, values: Sequence[int]) -> tuple[int, ...]:
    rungs = tuple(sorted(set(values)))
    if not rungs or rungs[0] < 1:
        raise ValueError(f"a ladder's {name} are positive numbers, at least one (now {tuple(values)})")
    return rungs


def _round_up(rungs: tuple[int, ...], value: int, unit: str) -> int:
    index = bisect_left(rungs, value)
    if index == len(rungs):
        raise ValueError(f"This is a bug: {value} {unit} exceed the ladder's last rung, {rungs[-1]}")
    return rungs[index]
