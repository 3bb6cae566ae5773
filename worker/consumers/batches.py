"""What a fetch returned for one partition: its batches, their records, and what is damaged of them."""

from __future__ import annotations

import struct
from typing import Any

from aiokafka.consumer import fetcher
from aiokafka.errors import CorruptRecordException
from aiokafka.record.default_records import DefaultRecordBatch
from aiokafka.record.legacy_records import LegacyRecordBatch
from aiokafka.structs import TopicPartition as KafkaPartition

from worker.consumers.header_names import AnyNamesBatch
from worker.errors import DamagedBatchError

_HEADER = struct.Struct(">qiibIhiqqqhii")
"""Of a batch of version 2: https://kafka.apache.org/documentation/#recordbatch. Those before it begin alike."""
_START = struct.Struct(">qi")
_MAGIC_AT = 16
_SMALLEST = _START.size + 14
_CHECKSUM = "its checksum is wrong"


class Batches:
    """The batches in `data` that reach beyond `offset`, one after the other: aiokafka's ``MemoryRecords``.

    aiokafka's own takes data without one whole batch for the sign of a small fetch size, and steps over an offset.
    A broker sends the first batch whole, so that its length is damaged then.
    """

    def __init__(self, data: bytes, offset: int = -1, default_batch: Any = DefaultRecordBatch) -> None:
        self.data = data
        self.batch_at = 0
        """Where the batch begins that was given last."""
        self.batch_base, self.batch_end = -1, -1
        """Its first offset, and the next one after its last."""
        self._offset = offset
        self.default_batch = default_batch
        self._next_at = 0

    def size_in_bytes(self) -> int:
        return len(self.data)

    def has_next(self) -> bool:
        while (end := self._end_of(self._next_at)) is not None:
            if self._offset < 0 or self._batch(self._next_at, end).next_offset > self._offset:
                self._offset = -1
                return True
            self._next_at = end
        return self._next_at == 0 and len(self.data) > 0

    def next_batch(self) -> Any:
        self.batch_at, self.batch_base, self.batch_end = self._next_at, -1, -1
        end = self._end_of(self._next_at)
        if end is None or end - self._next_at < _SMALLEST:
            self._next_at = len(self.data)
            raise CorruptRecordException("the length of a batch is wrong")
        self._next_at = end
        batch = self._batch(self.batch_at, end)
        self.batch_base, self.batch_end = _START.unpack_from(self.data, self.batch_at)[0], batch.next_offset
        return batch

    def _batch(self, start: int, end: int) -> Any:
        of_batch = memoryview(self.data)[start:end]
        magic = of_batch[_MAGIC_AT]
        return self.default_batch(of_batch) if magic >= 2 else LegacyRecordBatch(of_batch, magic)

    def _end_of(self, start: int) -> int | None:
        """Where the batch at `start` ends; None when it is not all there."""
        if start + _START.size > len(self.data):
            return None
        length = _START.unpack_from(self.data, start)[1]
        end = start + _START.size + int(length)
        return end if length >= 0 and end <= len(self.data) else None


class PartitionRecords(fetcher.PartitionRecords):  # type: ignore[misc]  # aiokafka has no types
    """The records of a fetch, in order; raises `DamagedBatchError` where they cannot be read any further.

    Nothing is between the records and aiokafka's reader, in C, as long as it does not give up. Where it gives up for
    the name of a header, one that takes every name goes on.
    """

    _tp: KafkaPartition
    _records: Batches
    _records_iterator: Any
    next_fetch_offset: int

    def __next__(self) -> Any:
        try:
            return next(self._records_iterator)
        except StopIteration:
            self._records_iterator = None
            raise
        except (UnicodeDecodeError, CorruptRecordException) as error:
            # The reader in Python, which is there where the one in C could not be built, wraps it.
            cause = error.__cause__ if isinstance(error, CorruptRecordException) else error
            if not isinstance(cause, UnicodeDecodeError):
                return self._stopped_by(error)
        except Exception as error:  # whatever a library says of bytes that it cannot unpack
            return self._stopped_by(error)
        self._go_on_with(AnyNamesBatch)
        return next(self)

    @property
    def holds_unpacked(self) -> bool:
        """Whether there is more of a batch that is unpacked already."""
        return self._records_iterator is not None and self.next_fetch_offset < self._records.batch_end

    def let_go(self) -> None:
        """Keep no unpacked batch whose last record was given."""
        if self._records_iterator is not None and not self.holds_unpacked:
            self._records_iterator = self._unpack_records()

    def pack(self) -> None:
        """Keep no unpacked batch, though it is only partly read: it is unpacked once more when its turn comes."""
        if self.holds_unpacked:
            self._go_on_with(self._records.default_batch)

    def _go_on_with(self, default_batch: Any) -> None:
        # Whoever sent what was aborted is known up to here, so what is read must not be gone through again.
        self._records = Batches(self._records.data, self.next_fetch_offset, default_batch)
        self._records_iterator = self._unpack_records()

    def _stopped_by(self, error: Exception) -> Any:
        self._records_iterator = None
        records, offset, reason = self._records, self.next_fetch_offset, _why(error)
        if reason != _CHECKSUM and records.batch_base < offset == records.batch_end:
            raise StopIteration from error  # all its records are read: what is wrong follows them
        end = end_of_damaged(records.data, records.batch_at, offset)
        raise DamagedBatchError(self._tp.topic, self._tp.partition, offset, end, reason) from error


def end_of_damaged(data: bytes, start: int, offset: int) -> int | None:
    """The next offset after the damaged batch at `start` of `data`, where `offset` is the first that cannot be read.

    From its header, or where that cannot be true from the sound batch that follows; None when neither says it.
    """
    follows = _first_offset_after(data, start)
    if start + _HEADER.size <= len(data):
        base, _, _, magic, _, _, last_delta, *_, count = _HEADER.unpack_from(data, start)
        end = base + last_delta + 1
        if magic == 2 and 0 <= count <= last_delta + 1 and offset < end and (follows is None or end <= follows):
            return int(end)
    return follows if follows is not None and follows > offset else None


def _first_offset_after(data: bytes, start: int) -> int | None:
    """The first offset of the batch behind the one at `start`, if there is one with a right checksum."""
    rest = Batches(data[start:])
    try:
        rest.next_batch()
        batch = rest.next_batch() if rest.has_next() else None
        return int(batch.base_offset) if batch is not None and batch.validate_crc() else None
    except Exception:  # no batch, whatever it is
        return None


def _why(error: Exception) -> str:
    if "Invalid CRC" in str(error):
        return _CHECKSUM
    # Not what a library says of it: that may quote what is in the batch.
    return f"what it holds cannot be unpacked ({type(error).__name__})"
