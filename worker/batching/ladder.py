"""The few shapes that batches may have on a GPU."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from typing import Self

LENGTH_STEP = 16
"""Tokens between two length rungs: with film reviews 3 % of a batch are padding then; with 32 it would be 5 %."""
ROW_STEPS_PER_DOUBLING = 4
"""Row rungs between a power of two and the next: with fewer, a batch fills less of its budget."""


class ShapeLadder:
    """Rounds the shape of a batch up to a rung, so that a session meets few shapes.

    A GPU session keeps memory, and sometimes a plan, for each shape that it has met; a small ladder bounds both.

    `lengths` and `rows` are the rungs, in tokens and in reviews, in any order. Raises ValueError when there are none,
    and for a rung below one.
    """

    def __init__(self, lengths: Sequence[int], rows: Sequence[int]) -> None:
        self.lengths = _rungs("lengths", lengths)
        self.rows = _rungs("rows", rows)

    @classmethod
    def up_to(cls, max_length: int, max_rows: int) -> Self:
        """Make the usual ladder for a model that reads `max_length` tokens, and for batches of `max_rows` reviews.

        Its last rungs are exactly these two, so that no batch is rounded beyond what the model can read.
        """
        rows, start = {1, 2, 4, max_rows}, 8
        while start < max_rows:
            step = start // ROW_STEPS_PER_DOUBLING
            rows.update(range(start, min(2 * start, max_rows), step))
            start *= 2
        lengths = (*range(LENGTH_STEP, max_length, LENGTH_STEP), max_length)
        return cls(lengths, tuple(rung for rung in rows if rung <= max_rows))

    def round_length(self, length: int) -> int:
        """Round up to the smallest rung that holds `length` tokens; raises ValueError beyond the last one."""
        return _round_up(self.lengths, length, "tokens")

    def round_rows(self, rows: int) -> int:
        """Round up to the smallest rung that holds `rows` reviews; raises ValueError beyond the last one."""
        return _round_up(self.rows, rows, "reviews")

    def floor_rows(self, rows: int) -> int:
        """Round down to the largest rung that `rows` reviews fill; 0 when they fill none."""
        index = bisect_right(self.rows, rows)
        return self.rows[index - 1] if index else 0

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
