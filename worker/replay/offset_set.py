"""A set of offsets that stays small: a bit for each."""

from __future__ import annotations

_BLOCK = 4096
_FULL = (1 << _BLOCK) - 1


class OffsetSet:
    """Offsets of one partition.

    A million take about 160 kB, whatever their pattern; far fewer where they lie together.
    """

    def __init__(self) -> None:
        self._blocks: dict[int, int] = {}

    def add(self, first: int, last: int) -> None:
        """Add the offsets from `first` to `last`, both included."""
        if not 0 <= first <= last:
            raise ValueError(f"no range of offsets: {first} to {last}")
        for number in range(first // _BLOCK, last // _BLOCK + 1):
            low = max(first - number * _BLOCK, 0)
            high = min(last - number * _BLOCK, _BLOCK - 1)
            bits = self._blocks.get(number, 0) | ((1 << (high - low + 1)) - 1) << low
            self._blocks[number] = _FULL if bits == _FULL else bits  # one object for all that are full

    def __contains__(self, offset: int) -> bool:
        return bool(self._blocks.get(offset // _BLOCK, 0) >> offset % _BLOCK & 1)

    def first_missing(self, start: int) -> int:
        """The first offset that is not in the set, at `start` or above."""
        number, place = divmod(start, _BLOCK)
        while True:
            bits = self._blocks.get(number, 0) >> place
            if (ones := (~bits & (bits + 1)).bit_length() - 1) < _BLOCK - place:
                return number * _BLOCK + place + ones
            number, place = number + 1, 0
