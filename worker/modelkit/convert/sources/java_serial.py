"""Java's serialisation, as far as a ``scala.Tuple2[]`` of strings and numbers goes, and no further.

Nothing of the stream is run: the classes are known here by name and layout, and any other is refused. The grammar is
that of the *Java Object Serialization Specification*, chapter 6: each class description, string, array and object
gets the next handle, by which the stream comes back to it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from worker.modelkit.convert.sources.cursor import Bytes, Cursor

Pair = tuple[str, str | int]

_MAGIC = b"\xac\xed\x00\x05"
_NULL, _REFERENCE, _CLASS, _OBJECT, _STRING, _ARRAY = 0x70, 0x71, 0x72, 0x73, 0x74, 0x75
_END_OF_ANNOTATIONS, _LONG_STRING = 0x78, 0x7C
_FIRST_HANDLE = 0x7E0000
_SERIALIZABLE = 2
_OBJECT_TYPE = "Ljava/lang/Object;"


@dataclass(frozen=True)
class _Class:
    """A class that may be met: its fields as type and name, and the class that it extends."""

    name: str
    fields: tuple[tuple[str, str], ...] = ()
    parent: str | None = None


_TUPLES, _TUPLE, _INTEGER, _NUMBER = "[Lscala.Tuple2;", "scala.Tuple2", "java.lang.Integer", "java.lang.Number"
_KNOWN = {
    known.name: known
    for known in (
        _Class(_TUPLES),
        _Class(_TUPLE, ((_OBJECT_TYPE, "_1"), (_OBJECT_TYPE, "_2"))),
        _Class(_INTEGER, (("I", "value"),), _NUMBER),
        _Class(_NUMBER),
    )
}
_Handle = str | int | _Class | None


def read_pairs(data: Bytes, where: str) -> list[Pair]:
    """The tuples of one serialised array: a string each, and a string or a 32-bit number.

    `where` names the file. Raises `CheckpointError` for anything else in the stream.
    """
    stream = _Stream(Cursor(data, where))
    pairs = stream.array()
    if stream.cursor.left:
        raise stream.cursor.error("more than one Java object in a record")
    return pairs


class _Stream:
    """One pass over a stream. Its depth is fixed by the grammar: array, tuple, string or number."""

    def __init__(self, cursor: Cursor) -> None:
        self.cursor = cursor
        self._handles: list[_Handle] = []
        if cursor.left < len(_MAGIC) or cursor.take(len(_MAGIC)) != _MAGIC:
            raise cursor.error("a record is not a serialised Java object")

    def array(self) -> list[Pair]:
        self._expect(_ARRAY, "an array of tuples")
        self._class_of(_TUPLES)
        self._handles.append(None)
        count = self.cursor.unpack(">i")
        if not 0 <= count <= self.cursor.left:  # each takes a byte at least
            raise self.cursor.error(f"an array of {count} tuples was announced")
        return [self._tuple() for _ in range(count)]

    def _tuple(self) -> Pair:
        self._expect(_OBJECT, "a tuple")
        self._class_of(_TUPLE)
        self._handles.append(None)
        first, second = self._value(), self._value()
        if not isinstance(first, str):
            raise self.cursor.error("a tuple begins with something else than a string")
        return first, second

    def _value(self) -> str | int:
        kind = self.cursor.byte()
        if kind == _REFERENCE:
            value = self._referred()
            if not isinstance(value, str | int):
                raise self.cursor.error("a tuple refers to something else than a string or a number")
            return value
        if kind in (_STRING, _LONG_STRING):
            return self._string(kind)
        if kind != _OBJECT:
            raise self.cursor.error(f"a tuple holds the type {kind:#x}, not a string or a number")
        self._class_of(_INTEGER)
        number: int = self.cursor.unpack(">i")
        self._handles.append(number)
        return number

    def _class_of(self, expected: str) -> None:
        """Read a class description, or a reference to one, that must be `expected`."""
        found = self._class(expected)
        if found is None or found.name != expected:
            raise self.cursor.error(f"{found.name if found else 'null'} stands where {expected} was expected")

    def _class(self, expected: str | None) -> _Class | None:
        kind = self.cursor.byte()
        if kind == _NULL:
            return None
        if kind == _REFERENCE:
            found = self._referred()
            if not isinstance(found, _Class):
                raise self.cursor.error("a reference to a class leads to something else")
            return found
        if kind != _CLASS:
            raise self.cursor.error(f"the type {kind:#x} stands where a class was expected")
        name = self.cursor.text(self.cursor.unpack(">H"))
        if name != expected or expected is None:
            raise self.cursor.error(f"the Java class {name[:80]!a} is none that labels are made of")
        known = _KNOWN[name]
        self.cursor.take(8)  # serialVersionUID
        self._handles.append(known)
        if self.cursor.byte() != _SERIALIZABLE or self._fields() != known.fields:
            raise self.cursor.error(f"the Java class {name} has another layout than the known one")
        self._expect(_END_OF_ANNOTATIONS, "the end of a class")
        parent = self._class(known.parent)
        if (parent.name if parent else None) != known.parent:
            raise self.cursor.error(f"the Java class {name} extends another class than the known one")
        return known

    def _fields(self) -> tuple[tuple[str, str], ...]:
        fields = []
        for _ in range(self.cursor.unpack(">H")):
            kind = chr(self.cursor.byte())
            name = self.cursor.text(self.cursor.unpack(">H"))
            if kind in "L[":
                declared = self.cursor.byte()
                value = self._referred() if declared == _REFERENCE else self._string(declared)
                kind = value if isinstance(value, str) else "?"
            fields.append((kind, name))
        return tuple(fields)

    def _string(self, kind: int) -> str:
        if kind not in (_STRING, _LONG_STRING):
            raise self.cursor.error(f"the type {kind:#x} stands where a string was expected")
        count = self.cursor.unpack(">H" if kind == _STRING else ">q")
        text = self._modified_utf8(bytes(self.cursor.take(count)))
        self._handles.append(text)
        return text

    def _modified_utf8(self, data: bytes) -> str:
        """Java's own UTF-8: NUL as two bytes, and characters beyond the first 65,536 as two surrogates."""
        try:
            halves = re.sub(rb"\xc0\x80", b"\x00", data).decode("utf-8", "surrogatepass")
            return halves.encode("utf-16-le", "surrogatepass").decode("utf-16-le")
        except UnicodeDecodeError as error:
            raise self.cursor.error("a string is not Java's UTF-8") from error

    def _referred(self) -> _Handle:
        index: int = self.cursor.unpack(">i") - _FIRST_HANDLE
        if not 0 <= index < len(self._handles):
            raise self.cursor.error("a reference leads nowhere")
        return self._handles[index]

    def _expect(self, kind: int, what: str) -> None:
        found = self.cursor.byte()
        if found != kind:
            raise self.cursor.error(f"the type {found:#x} stands where {what} was expected")
