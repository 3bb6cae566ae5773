r"""Every consumer that the worker and its commands have, made to read headers whose names are not UTF-8.

To Kafka a name is bytes, and some producers write Latin-1. aiokafka 0.14 decodes names strictly while it unpacks a
fetch, so one such record ends the reading, each time, for itself and for all that follows it; and what was unpacked of
other partitions in the same call is lost. Here each byte that is not UTF-8 becomes ``\xe9`` and the like in the name:
aiokafka's producers write only what can be encoded.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from aiokafka import AIOKafkaConsumer
from aiokafka.consumer import fetcher
from aiokafka.errors import CorruptRecordException
from aiokafka.record.default_records import DefaultRecordBatch, _DefaultRecordBatchPy, _DefaultRecordPy
from aiokafka.record.memory_records import _MemoryRecordsPy
from aiokafka.record.util import decode_varint_py


def kafka_consumer(**options: Any) -> AIOKafkaConsumer:
    """aiokafka's consumer with these options, not started."""
    fetcher.MemoryRecords, fetcher.PartitionRecords = Fetched, PartitionRecords
    return AIOKafkaConsumer(**options)


class Fetched(fetcher.MemoryRecords):  # type: ignore[misc]  # aiokafka has no types
    """The batches that a fetch returned for one partition, and the bytes that they are read from."""

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self.data = data


class PartitionRecords(fetcher.PartitionRecords):  # type: ignore[misc]
    """The records of such a fetch. Where aiokafka's reader gives up, one that takes every name goes on.

    Nothing is between the records and aiokafka's reader, in C, as long as it does not give up.
    """

    _records: Any
    _records_iterator: Any

    def __next__(self) -> Any:
        try:
            return next(self._records_iterator)
        except StopIteration:
            self._records_iterator = None
            raise
        except (UnicodeDecodeError, CorruptRecordException) as error:
            # The reader in Python, which is there where the one in C could not be built, wraps it.
            cause = error.__cause__ if isinstance(error, CorruptRecordException) else error
            if not isinstance(cause, UnicodeDecodeError) or not isinstance(self._records, Fetched):
                raise
        # Whoever sent what was aborted is known up to here, so what is read must not be gone through again.
        self._records = _Rest(self._records.data, self.next_fetch_offset)
        self._records_iterator = self._unpack_records()
        return next(self)


class _Rest:
    """What `Fetched` holds from `offset` on: whole batches, the first of which may begin before it."""

    def __init__(self, data: bytes, offset: int) -> None:
        self._batches = (batch for batch in _batches(data) if batch.next_offset > offset)
        self._next = next(self._batches, None)

    def has_next(self) -> bool:
        return self._next is not None

    def next_batch(self) -> Any:
        batch, self._next = self._next, next(self._batches, None)
        return batch


def _batches(data: bytes) -> Iterator[Any]:
    records = _MemoryRecordsPy(data)
    while records.has_next():
        batch_bytes = records._next_slice
        batch = records.next_batch()
        yield _Batch(batch_bytes) if isinstance(batch, DefaultRecordBatch) else batch  # older ones have no headers


class _Batch(_DefaultRecordBatchPy):  # type: ignore[misc]
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
