"""A batch: the entries that one inference computes, and their padded arrays."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from worker.batching.ladder import ShapeLadder
from worker.records import Encoding, Entry

TokenIds = npt.NDArray[np.int32]
Lengths = npt.NDArray[np.int32]

EMPTY_ROW_LENGTH = 1
"""Length of a row without an entry: attention over no token at all would divide by zero."""


class Batch:
    """Entries that are computed together. Immutable, and safe to read from any thread.

    `rows` and `length` are the shape of the arrays: without a ladder, the number of entries and the longest of them;
    with one, both rounded up to its rungs. Raises ValueError without entries, and for an entry without an encoding.
    """

    __slots__ = ("_encodings", "_ladder", "entries", "length", "real_tokens", "rows")

    def __init__(self, entries: Sequence[Entry], ladder: ShapeLadder | None = None) -> None:
        self.entries: tuple[Entry, ...] = tuple(entries)
        self._encodings = [_encoding(entry) for entry in self.entries]
        if not self._encodings:
            raise ValueError("This is a bug: a batch without entries")
        sizes = [len(encoding.ids) for encoding in self._encodings]
        self._ladder = ladder
        self.real_tokens = sum(sizes)
        self.rows = ladder.round_rows(len(sizes)) if ladder else len(sizes)
        self.length = ladder.round_length(max(sizes)) if ladder else max(sizes)

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

        Row i belongs to ``entries[i]``. Rows beyond the last entry exist only with a ladder; each counts as a review of
        one `pad_id`, and the caller drops its result.
        """
        ids = np.full((self.rows, self.length), pad_id, dtype=np.int32)
        lengths = np.full(self.rows, EMPTY_ROW_LENGTH, dtype=np.int32)
        # Row by row is faster than one scatter through a mask, but for hundreds of very short reviews.
        for row, encoding in enumerate(self._encodings):
            length = len(encoding.ids)
            ids[row, :length] = encoding.ids
            lengths[row] = length
        return ids, lengths

    def split(self) -> tuple[Batch, Batch]:
        """Two halves, the first the smaller one when the number is odd; raises ValueError for a single entry."""
        if len(self.entries) == 1:
            raise ValueError("This is a bug: a batch of one entry cannot be split")
        middle = len(self.entries) // 2
        return Batch(self.entries[:middle], self._ladder), Batch(self.entries[middle:], self._ladder)

    def __repr__(self) -> str:
        return f"Batch({len(self.entries)} entries, rows={self.rows}, length={self.length})"


def _encoding(entry: Entry) -> Encoding:
    if entry.encoding is None:
        raise ValueError(f"This is a bug: {entry.record.source} has no encoding and cannot be in a batch")
    return entry.encoding
