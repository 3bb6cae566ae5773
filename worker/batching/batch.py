"""A batch: what one inference computes, and its padded arrays."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from worker.batching.ladder import ShapeLadder
from worker.records import Part, TokenIds, Window, entry_of

Lengths = npt.NDArray[np.int32]

EMPTY_ROW_LENGTH = 1
"""Length of a row without a part: attention over no token at all would divide by zero."""


class Batch:
    """Parts of reviews that are computed together. Immutable, and safe to read from any thread.

    `rows` and `length` are the shape of the arrays: without a ladder, the number of parts and the longest of them;
    with one, both rounded up to its rungs. Raises ValueError without parts, and for an entry without an encoding.
    """

    __slots__ = ("_ids", "_ladder", "has_windows", "length", "parts", "real_tokens", "rows")

    def __init__(self, parts: Sequence[Part], ladder: ShapeLadder | None = None) -> None:
        self.parts: tuple[Part, ...] = tuple(parts)
        self._ids = [part.ids for part in self.parts]
        if not self._ids:
            raise ValueError("This is a bug: a batch without parts")
        sizes = list(map(len, self._ids))
        self._ladder = ladder
        self.real_tokens = sum(sizes)
        self.rows = ladder.round_rows(len(sizes)) if ladder else len(sizes)
        self.length = ladder.round_length(max(sizes)) if ladder else max(sizes)
        self.has_windows = Window in set(map(type, self.parts))
        """Whether some part is not a whole review."""

    @property
    def padded_tokens(self) -> int:
        """Tokens that the session computes: rows times length."""
        return self.rows * self.length

    @property
    def padding_waste(self) -> float:
        """Share of the computed tokens that are no review's: 1 - real / padded."""
        return 1.0 - self.real_tokens / self.padded_tokens

    def arrays(self, pad_id: int) -> tuple[TokenIds, Lengths]:
        """Token ids ``[rows, length]`` and their lengths ``[rows]``, both int32; unused places hold `pad_id`.

        Row i belongs to ``parts[i]``. Rows beyond the last part exist only with a ladder; each counts as a review of
        one `pad_id`, and the caller drops its result.
        """
        ids = np.full((self.rows, self.length), pad_id, dtype=np.int32)
        lengths = np.full(self.rows, EMPTY_ROW_LENGTH, dtype=np.int32)
        # Row by row is faster than one scatter through a mask, but for hundreds of very short reviews.
        for row, row_ids in enumerate(self._ids):
            length = len(row_ids)
            ids[row, :length] = row_ids
            lengths[row] = length
        return ids, lengths

    def split(self) -> tuple[Batch, Batch]:
        """Two halves, the first the smaller one when the number is odd; raises ValueError for a single part."""
        if len(self.parts) == 1:
            raise ValueError("This is a bug: a batch of one part cannot be split")
        middle = len(self.parts) // 2
        return Batch(self.parts[:middle], self._ladder), Batch(self.parts[middle:], self._ladder)

    def without_settled(self) -> Batch | None:
        """What is still worth computing: not the windows of a review of which another one failed; None for nothing."""
        parts = [part for part in self.parts if entry_of(part).outcome is None]
        if len(parts) == len(self.parts):
            return self
        return Batch(parts, self._ladder) if parts else None

    def __repr__(self) -> str:
        return f"Batch({len(self.parts)} parts, rows={self.rows}, length={self.length})"
