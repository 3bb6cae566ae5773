"""Which records the consumer's thread has handed over in an assignment, and which come again. Pure bookkeeping."""

from __future__ import annotations

from collections.abc import Mapping

from faust.types import TP


class DeliveredRanges:
    """Of each partition a run of offsets, from the first record of the assignment on."""

    def __init__(self) -> None:
        self._from: dict[TP, int] = {}
        self._until: dict[TP, int] = {}
        self._sought: dict[TP, int] = {}
        """Where records are expected to come again from."""

    def clear(self) -> None:
        """The assignment is over."""
        self._from.clear()
        self._until.clear()
        self._sought.clear()

    def until(self, partition: TP) -> int | None:
        """The next offset after the last record; None when there was none yet."""
        return self._until.get(partition)

    def ends(self) -> dict[TP, int]:
        """`until` of each partition that has one."""
        return dict(self._until)

    def seek_back(self, stored: Mapping[TP, int]) -> dict[TP, int]:
        """Where to read again, so that all comes again which is not below the `stored` next offsets.

        A partition of which all is stored is left out: nothing of it comes again.
        """
        sought = {}
        for partition, first in self._from.items():
            offset = max(first, stored.get(partition, first))
            if offset < self._until[partition]:
                sought[partition] = offset
        self._sought.update(sought)
        return sought

    def sought(self, partition: TP, default: int) -> int:
        """Where records are still to come again from; `default` where none are."""
        return self._sought.get(partition, default)

    def begins_anew(self, partition: TP, first: int) -> bool:
        """Whether records from offset `first` on come a second time although nobody has sought back so far."""
        return first < self._sought.get(partition, self._until.get(partition, 0))

    def add(self, partition: TP, first: int, until: int) -> int | None:
        """Records from `first` on, `until` is the next offset; answers which offset they follow.

        None for the first of the assignment, and for those that were sought back to.
        """
        follows = self._until.get(partition)
        if follows is not None and first < follows:
            self._sought.pop(partition, None)
            follows = None
        self._from.setdefault(partition, first)
        self._until[partition] = until
        return follows
