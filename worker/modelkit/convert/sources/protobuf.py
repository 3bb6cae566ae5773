"""Protobuf's wire format without generated classes: the few messages that are read here are small and long settled."""

from __future__ import annotations

import functools
from collections.abc import Iterator

from worker.modelkit.convert.sources.cursor import Bytes, Cursor

_VARINT, _EIGHT_BYTES, _LENGTH, _FOUR_BYTES = 0, 1, 2, 5
_FIXED = {_EIGHT_BYTES: 8, _FOUR_BYTES: 4}

Value = int | memoryview


class Message:
    """The fields of one message by their numbers; nested ones are read when they are asked for.

    Methods give the last value of a field, as protobuf asks for, or all of them; a field that is not there is its
    type's zero. All raise `CheckpointError` for bytes that are no message, or a field of another type; `where` names
    the file.
    """

    def __init__(self, data: Bytes, where: str) -> None:
        self._data = data
        self.where = where

    @functools.cached_property
    def _fields(self) -> dict[int, list[Value]]:
        fields: dict[int, list[Value]] = {}
        for number, value in self._pairs():
            fields.setdefault(number, []).append(value)
        return fields

    def _pairs(self) -> Iterator[tuple[int, Value]]:
        cursor = Cursor(self._data, self.where)
        while cursor.left:
            key = cursor.varint()
            kind = key & 7
            if kind == _VARINT:
                yield key >> 3, cursor.varint()
            elif kind == _LENGTH:
                yield key >> 3, cursor.take(cursor.varint())
            elif kind in _FIXED:
                yield key >> 3, cursor.take(_FIXED[kind])
            else:
                raise cursor.error(f"a field before byte {cursor.position} has the type {kind}, which is none")

    def has(self, number: int) -> bool:
        return number in self._fields

    def count(self, number: int) -> int:
        """How often the field is there."""
        return len(self._fields.get(number, ()))

    def blobs(self, number: int) -> list[memoryview]:
        """The bytes of each."""
        values = []
        for value in self._fields.get(number, ()):
            if isinstance(value, int):
                raise Cursor(b"", self.where).error(f"field {number} is a number, not bytes")
            values.append(value)
        return values

    def blob(self, number: int) -> memoryview:
        values = self.blobs(number)
        return values[-1] if values else memoryview(b"")

    def messages(self, number: int) -> list[Message]:
        return [Message(value, self.where) for value in self.blobs(number)]

    def message(self, number: int) -> Message:
        return Message(self.blob(number), self.where)

    def text(self, number: int) -> str:
        value = self.blob(number)
        return Cursor(value, self.where).text(len(value))

    def texts(self, number: int) -> list[str]:
        return [Cursor(value, self.where).text(len(value)) for value in self.blobs(number)]

    def integers(self, number: int) -> list[int]:
        """Of a repeated field, packed or not."""
        values: list[int] = []
        for value in self._fields.get(number, ()):
            if isinstance(value, int):
                values.append(_signed(value))
                continue
            packed = Cursor(value, self.where)
            while packed.left:
                values.append(_signed(packed.varint()))
        return values

    def integer(self, number: int) -> int:
        values = self._fields.get(number, ())
        if not values:
            return 0
        last = values[-1]
        if not isinstance(last, int):
            raise Cursor(b"", self.where).error(f"field {number} is not a number")
        return _signed(last)


def _signed(value: int) -> int:
    """int32 and int64 are written as 64 bits in two's complement."""
    return value - (1 << 64) if value >> 63 else value
