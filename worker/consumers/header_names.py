r"""A batch whose headers may have names that are not UTF-8.

To Kafka a name is bytes, and some producers write Latin-1. aiokafka 0.14 decodes names strictly while it unpacks a
fetch, so one such record ends the reading, each time, for itself and for all that follows it. Here each byte that is
not UTF-8 becomes ``\xe9`` and the like in the name: aiokafka's producers write only what can be encoded.
"""

from __future__ import annotations

from aiokafka.errors import CorruptRecordException
from aiokafka.record.default_records import _DefaultRecordBatchPy, _DefaultRecordPy
from aiokafka.record.util import decode_varint_py


class AnyNamesBatch(_DefaultRecordBatchPy):  # type: ignore[misc]  # aiokafka has no types
    """A batch whose headers may have any names; an error in its form is a `CorruptRecordException`, as in the others.

    Record: length, attributes, timestamp delta, offset delta, key, value, number of headers, then name and value of
    each; all numbers are varints, and so are the lengths before bytes, where -1 says that there are none.
    """

    _pos: int

    def _read_msg(self) -> _DefaultRecordPy:
        length = self._number()
        end = self._pos + length
        self._pos += 1  # attributes: none are in use
        timestamp = self.first_timestamp + self._number()
        if self.timestamp_type == self.LOG_APPEND_TIME:
            timestamp = self.max_timestamp
        offset = self.base_offset + self._number()
        key, value = self._bytes(), self._bytes()
        headers = [(self._name(), self._bytes()) for _ in range(self._number())]
        if self._pos != end:
            raise CorruptRecordException(f"a record of {length} bytes ends {self._pos - end} bytes behind its end")
        return _DefaultRecordPy(offset, timestamp, self.timestamp_type, key, value, headers)

    def _number(self) -> int:
        number, self._pos = decode_varint_py(self._buffer, self._pos)
        return int(number)

    def _bytes(self) -> bytes | None:
        length = self._number()
        if length < 0:
            return None
        start, self._pos = self._pos, self._pos + length
        return bytes(self._buffer[start : self._pos])

    def _name(self) -> str:
        name = self._bytes()
        if name is None:
            raise CorruptRecordException("a header has no name")
        return name.decode(errors="backslashreplace")
