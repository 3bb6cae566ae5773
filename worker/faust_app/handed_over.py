"""Which records the consumer's thread has handed over in an assignment, and which come again. Pure bookkeeping."""

from __future__ import annotations

from collections.abc import Mapping

from faust.types import TP


class HandedOver:
    """Of each partition a run of offsets, from the first record of the assignment on."""

    def __init__(self) -> None:
        self._from: dict[TP, int] = {}
        self._until: dict[TP, int] = {}
        self._sought: set[TP] = set()

    def clear(self) -> None:
        """The assignment is over."""
        self._from.clear()
        self._until.clear()
        self._sought.clear()

    def until(self, partition: TP) -> int | None:
        """The next offset after the last record; None when there was none yet."""
        return self._until.get(partition)

    def seek_back(self, stored: Mapping[TP, int]) -> dict[TP, int]:
        """Where to read again, so that all comes again which is not below the `stored` next offsets."""
        self._sought.update(self._from)
        return {partition: max(first, stored.get(partition, first)) for partition, first in self._from.items()}

    def begins_anew(self, partition: TP, first: int) -> bool:
        """Whether records from offset `first` on come a second time although nobody has sought back."""
        return first < self._until.get(partition, 0) and partition not in self._sought

    def add(self, partition: TP, first: int, until: int) -> int | None:
        """Records from `first` on, `until` is the next offset; answers which offset they follow.

        None for the first of the assignment, and for those that were sought back to.
        """
        follows = self._until.get(partition)
        if follows is not None and first < follows:
            self._sought.discard(partition)
            follows = None
        self._from.setdefault(partition, first)
        self._until[partition] = until
        return follows
