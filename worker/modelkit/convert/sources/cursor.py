"""Reading bytes that nobody has checked: never beyond their end, and every fault is one line that names the file."""

from __future__ import annotations

import struct
from typing import Any

from worker.modelkit.convert.shape import CheckpointError

MAX_VARINT_BYTES = 10
"""A 64-bit number in groups of seven bits."""

Bytes = bytes | memoryview


class Cursor:
    """A place in `data`, which only moves forward. `where` names the data in messages.

    Every method raises `CheckpointError` where the data ends too early.
    """

    def __init__(self, data: Bytes, where: str) -> None:
        self._data = memoryview(data)
        self.where = where
        self.position = 0

    @property
    def left(self) -> int:
        """Bytes that are still to come."""
        return len(self._data) - self.position

    def take(self, count: int) -> memoryview:
        """The next `count` bytes, not copied."""
        if not 0 <= count <= self.left:
            raise self.error(f"{count} bytes were announced at byte {self.position}, and {self.left} are there")
        start, self.position = self.position, self.position + count
        return self._data[start : self.position]

    def byte(self) -> int:
        """The next byte."""
        return self.take(1)[0]

    def unpack(self, layout: str) -> Any:
        """The one number of a `struct` layout such as ``>i``."""
        (value,) = struct.unpack(layout, self.take(struct.calcsize(layout)))
        return value

    def varint(self) -> int:
        """An unsigned number in groups of seven bits, the lowest first, as protobuf and LevelDB write it."""
        value = 0
        for index in range(MAX_VARINT_BYTES):
            byte = self.byte()
            value |= (byte & 0x7F) << (7 * index)
            if byte < 0x80:
                return value & 0xFFFF_FFFF_FFFF_FFFF
        raise self.error(f"a number at byte {self.position} has no end")

    def text(self, count: int) -> str:
        """The next `count` bytes as UTF-8."""
        try:
            return bytes(self.take(count)).decode()
        except UnicodeDecodeError as error:
            raise self.error(f"a text before byte {self.position} is not UTF-8") from error

    def error(self, what: str) -> CheckpointError:
        """The error to raise for a fault in this data."""
        return CheckpointError(f"{self.where}: {what}; it is damaged, or in a layout that is not known")
