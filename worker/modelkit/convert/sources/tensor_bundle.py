"""TensorFlow's tensor bundle: ``variables.index`` says where each tensor lies in ``variables.data-00000-of-00001``.

The index is a LevelDB table (blocks of keys that share their beginnings; a footer that finds the block of blocks) of
``BundleEntryProto`` messages. Checksums are not computed: the zip around both files has one over every byte.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from worker.modelkit.convert.shape import CheckpointError
from worker.modelkit.convert.sources.cursor import Cursor
from worker.modelkit.convert.sources.protobuf import Message

_FOOTER_BYTES = 48
_TABLE_MAGIC = b"\x57\xfb\x80\x8b\x24\x75\x47\xdb"
_NO_COMPRESSION = 0
_TRAILER_BYTES = 5  # of a block: its compression, and a checksum
_MAX_RANK = 8
_MAX_KEY_BYTES = 4096

FLOAT32, STRING = 1, 7
_TYPE_NAMES = {1: "float32", 2: "float64", 3: "int32", 7: "string", 9: "int64", 14: "bfloat16", 19: "float16"}


@dataclass(frozen=True)
class BundleEntry:
    """Where a tensor lies, and what it is: TensorFlow's ``BundleEntryProto``."""

    dtype: int
    shape: tuple[int, ...]
    shard: int
    offset: int
    size: int
    sliced: bool


class TensorBundle:
    """The tensors of a bundle by their keys. `where` names it in messages.

    Raises `CheckpointError` for an index that is no table, is compressed, or is for data in several files.
    """

    def __init__(self, index: bytes, data: bytes, where: str) -> None:
        self._data = memoryview(data)
        self._where = where
        self.entries: dict[str, BundleEntry] = {}
        for key, value in _table(index, f"{where}/variables.index"):
            message = Message(value, f"{where}/variables.index")
            if key:
                self.entries[Cursor(key, message.where).text(len(key))] = _entry(message)
            else:
                self._check_header(message)

    def floats(self, key: str) -> npt.NDArray[np.float32]:
        """A tensor of float32, read-only and not copied; raises `CheckpointError` for any other, or a broken one."""
        entry = self._entry(key)
        if entry.dtype != FLOAT32:
            kind = _TYPE_NAMES.get(entry.dtype, f"the type {entry.dtype}")
            raise self._error(f"the tensor {key!a} is {kind}; only float32 is read")
        expected = math.prod(entry.shape) * 4
        if entry.size != expected:
            raise self._error(
                f"the tensor {key!a} has {entry.size} bytes, and its shape {entry.shape} asks for {expected}"
            )
        return np.frombuffer(self._bytes(key, entry), dtype="<f4").reshape(entry.shape).astype(np.float32, copy=False)

    def string(self, key: str) -> memoryview:
        """The one string of a scalar: its length, a checksum of that, and its bytes."""
        entry = self._entry(key)
        if entry.dtype != STRING or entry.shape:
            raise self._error(f"the tensor {key!a} is not one string")
        cursor = Cursor(self._bytes(key, entry), f"{self._where}: the tensor {key!a}")
        length = cursor.varint()
        cursor.take(4)
        return cursor.take(length)

    def _entry(self, key: str) -> BundleEntry:
        if key not in self.entries:
            raise self._error(f"the tensor {key[:120]!a} is missing")
        return self.entries[key]

    def _bytes(self, key: str, entry: BundleEntry) -> memoryview:
        if entry.shard or entry.sliced:
            raise self._error(f"the tensor {key!a} is spread over several places; only whole ones are read")
        end = entry.offset + entry.size
        if not 0 <= entry.offset <= end <= len(self._data):
            raise self._error(
                f"the tensor {key!a} lies at bytes {entry.offset} to {end}, and the data has {len(self._data)};"
                " it is cut off, or of another model"
            )
        return self._data[entry.offset : end]

    def _check_header(self, header: Message) -> None:
        if header.integer(1) > 1:
            raise self._error(f"its tensors are in {header.integer(1)} files; only one is read")
        if header.integer(2):
            raise self._error("its numbers are big endian; only little endian is read")

    def _error(self, what: str) -> CheckpointError:
        return CheckpointError(f"{self._where}: {what}")


def _entry(message: Message) -> BundleEntry:
    dimensions = message.message(2).messages(2)
    shape = tuple(dimension.integer(1) for dimension in dimensions)
    if len(shape) > _MAX_RANK or any(size < 0 for size in shape):
        raise Cursor(b"", message.where).error(f"a tensor has the shape {shape[: _MAX_RANK + 1]}")
    return BundleEntry(
        dtype=message.integer(1),
        shape=shape,
        shard=message.integer(3),
        offset=message.integer(4),
        size=message.integer(5),
        sliced=message.has(7),
    )


def _table(index: bytes, where: str) -> Iterator[tuple[bytes, memoryview]]:
    """Keys and values of a LevelDB table, in order. The footer has two handles, and the magic number at its end."""
    if len(index) < _FOOTER_BYTES or index[-8:] != _TABLE_MAGIC:
        raise CheckpointError(f"{where}: not an index of a TensorFlow tensor bundle; it is cut off or damaged")
    footer = Cursor(index[-_FOOTER_BYTES:], where)
    _handle(footer)  # of a block of filters, which has none here
    end = 0
    for _, value in _block(index, _handle(footer), where):
        handle = _handle(Cursor(value, where))
        if handle[0] < end:  # each byte is read once, however the file is made
            raise footer.error("its blocks overlap")
        end = sum(handle)
        yield from _block(index, handle, where)


def _handle(cursor: Cursor) -> tuple[int, int]:
    """Offset and size of a block."""
    return cursor.varint(), cursor.varint()


def _block(index: bytes, handle: tuple[int, int], where: str) -> Iterator[tuple[bytes, memoryview]]:
    offset, size = handle
    block = Cursor(index, where)
    block.take(offset)
    body = block.take(size)
    if block.left < _TRAILER_BYTES or block.byte() != _NO_COMPRESSION:
        raise block.error("a block is compressed, which TensorFlow does not do")
    restarts = int.from_bytes(body[-4:], "little")
    end = len(body) - 4 - 4 * restarts
    if end < 0:
        raise block.error("a block has more marks than bytes")
    cursor = Cursor(body[:end], where)
    key = b""
    while cursor.left:
        shared, fresh, length = cursor.varint(), cursor.varint(), cursor.varint()
        if shared > len(key) or shared + fresh > _MAX_KEY_BYTES:
            raise cursor.error("a key shares more bytes than the one before has, or is too long")
        key = key[:shared] + bytes(cursor.take(fresh))
        yield key, cursor.take(length)
