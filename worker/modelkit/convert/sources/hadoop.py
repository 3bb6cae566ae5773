"""Hadoop's SequenceFile, version 6, as Spark's ``saveAsObjectFile`` writes it.

Layout: ``SEQ`` 6, the names of the classes of key and value, whether the values and whether the blocks are compressed,
pairs of metadata, 16 bytes of sync mark; then records: length of both (4 bytes, big endian), length of the key, key,
value. A length of -1 stands before a repeated sync mark. A BytesWritable is its length (4 bytes), then its bytes.
"""

from __future__ import annotations

from collections.abc import Iterator

from worker.modelkit.convert.sources.cursor import Bytes, Cursor

_MAGIC = b"SEQ\x06"
_KEY, _VALUE = "org.apache.hadoop.io.NullWritable", "org.apache.hadoop.io.BytesWritable"
_SYNC_BYTES = 16
_SYNC_FOLLOWS = -1


def sequence_values(data: Bytes, where: str) -> Iterator[memoryview]:
    """The bytes of each value, in order; none where the file is a header only.

    `where` names the file. Raises `CheckpointError` for another version, other classes, compression, or a broken file.
    """
    cursor = Cursor(data, where)
    if cursor.left < len(_MAGIC) or cursor.take(len(_MAGIC)) != _MAGIC:
        raise cursor.error("not a Hadoop SequenceFile of version 6")
    classes = (_text(cursor), _text(cursor))
    if classes != (_KEY, _VALUE):
        raise cursor.error(f"it holds {classes[0][:80]!a} and {classes[1][:80]!a}, not bytes")
    if cursor.byte() or cursor.byte():
        raise cursor.error("it is compressed; save the model without compression of Hadoop's output")
    for _ in range(_count(cursor)):
        _text(cursor), _text(cursor)
    sync = cursor.take(_SYNC_BYTES)
    while cursor.left:
        length = cursor.unpack(">i")
        if length == _SYNC_FOLLOWS:
            if cursor.take(_SYNC_BYTES) != sync:
                raise cursor.error("a sync mark is another than that of the header")
            continue
        key_length = cursor.unpack(">i")
        cursor.take(key_length)
        value = Cursor(cursor.take(length - key_length), where)
        yield value.take(value.unpack(">i"))


def _count(cursor: Cursor) -> int:
    count: int = cursor.unpack(">i")
    if not 0 <= count <= cursor.left:
        raise cursor.error(f"{count} pairs of metadata were announced")
    return count


def _text(cursor: Cursor) -> str:
    return cursor.text(_variable_integer(cursor))


def _variable_integer(cursor: Cursor) -> int:
    """Hadoop's ``WritableUtils.readVLong``: one byte, or a sign and a number of bytes, then the bytes."""
    first: int = cursor.unpack("b")
    if first >= -112:
        return first
    size = -112 - first if first >= -120 else -120 - first
    value = int.from_bytes(cursor.take(size), "big")
    return value if first >= -120 else ~value
