"""What a fetch holds is read the same whatever bytes the headers' names are, and from wherever it is read."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from pathlib import Path

import pytest
from aiokafka import TopicPartition
from aiokafka.consumer.fetcher import READ_COMMITTED, READ_UNCOMMITTED
from aiokafka.errors import CorruptRecordException
from aiokafka.record.default_records import _DefaultRecordBatchBuilderPy, _DefaultRecordBatchPy
from aiokafka.record.legacy_records import LegacyRecordBatchBuilder
from raw_headers import LATIN_1, carried, raw

import worker
from worker.consumers.batches import Batches, PartitionRecords
from worker.consumers.header_names import AnyNamesBatch

PLACE = TopicPartition("in", 0)
CODECS = range(5)
GOOD, ODD = "caf\\xe9", LATIN_1
SIZE = 4
OPEN, ABORTED = 7, 8
"""Producers: one whose transactions are committed, and one whose are not."""


def batch(base: int, names: Sequence[str], codec: int = 0, *, producer: int = -1, transactional: bool = False) -> bytes:
    builder = _DefaultRecordBatchBuilderPy(2, codec, int(transactional), producer, 0, -1, 1 << 20)
    for delta, name in enumerate(names):
        headers = raw([("before", b"1"), (name, None), (name, b"\xff"), ("", b"")])
        key = b"k" if delta % 2 else None
        builder.append(delta, 1000 + 7 * delta, key, b"%d" % (base + delta) * 50 if delta % 3 else None, headers)
    return placed(builder.build(), base)


def placed(built: bytearray, base: int) -> bytes:
    struct.pack_into(">q", built, 0, base)  # what a broker does; the checksum leaves it out
    return bytes(built)


def abort_marker(base: int, producer: int) -> bytes:
    builder = _DefaultRecordBatchBuilderPy(2, 0, 1, producer, 0, -1, 1 << 20)
    builder.append(0, 1000, struct.pack(">hh", 0, 0), b"\0" * 6, [])
    builder._get_attributes = lambda *_: builder.TRANSACTIONAL_MASK | builder.CONTROL_MASK  # type: ignore[method-assign]
    return placed(builder.build(), base)


def partition_records(
    data: bytes, start: int = 0, *, isolation: int = READ_UNCOMMITTED, aborted: Sequence[tuple[int, int]] = ()
) -> PartitionRecords:
    return PartitionRecords(PLACE, Batches(data), aborted, start, None, None, True, isolation)


@pytest.mark.parametrize("codec", CODECS)
def test_odd_names_are_escaped_and_nothing_else_is_lost_repeated_or_changed(codec: int) -> None:
    for odd in range(3 * SIZE):
        names = [GOOD] * 3 * SIZE
        plain = [batch(base, names[base : base + SIZE], codec) for base in range(0, 3 * SIZE, SIZE)]
        names[odd] = ODD
        strange = [batch(base, names[base : base + SIZE], codec) for base in range(0, 3 * SIZE, SIZE)]
        for start in range(3 * SIZE):
            # A broker answers with whole batches, of which the first holds what was asked for.
            first = start // SIZE
            expected = partition_records(b"".join(plain[first:]), start)
            records = partition_records(b"".join(strange[first:]), start)
            for offset, record in zip(range(start, 3 * SIZE), expected, strict=True):
                assert record.offset == offset
                assert next(records) == record
                assert records.next_fetch_offset == expected.next_fetch_offset
            assert next(records, None) is None
            assert records.next_fetch_offset == expected.next_fetch_offset


def test_what_transactions_wrote_is_told_apart_behind_an_odd_name_as_before_it() -> None:
    fetch = (
        batch(0, [ODD, ODD], producer=ABORTED, transactional=True),
        batch(2, [GOOD, ODD], producer=OPEN, transactional=True),
        batch(4, [ODD, GOOD], producer=ABORTED, transactional=True),
        abort_marker(6, ABORTED),
        batch(7, [GOOD, ODD, GOOD], producer=ABORTED, transactional=True),
        batch(10, [GOOD, ODD], producer=OPEN, transactional=True),
        abort_marker(12, OPEN),
        batch(13, [ODD, GOOD]),
    )
    aborted = [(ABORTED, 0), (OPEN, 10)]
    records = partition_records(b"".join(fetch), isolation=READ_COMMITTED, aborted=aborted)
    assert [record.offset for record in records] == [2, 3, 7, 8, 9, 13, 14]
    assert records.next_fetch_offset == 15
    everything = partition_records(b"".join(fetch), isolation=READ_UNCOMMITTED)
    assert [record.offset for record in everything] == [*range(6), *range(7, 12), 13, 14]


def test_a_batch_that_is_cut_off_is_left_for_the_next_fetch() -> None:
    for rest in (batch(4, [GOOD, ODD])[:-1], b"\0"):
        records = partition_records(batch(1, [ODD, GOOD, GOOD]) + rest)
        assert [record.offset for record in records] == [1, 2, 3]
        assert records.next_fetch_offset == 4


def test_batches_of_the_old_format_may_follow() -> None:
    old = LegacyRecordBatchBuilder(1, 0, 1 << 20)
    old.append(0, 1000, None, b"old")
    rest = Batches(batch(1, [ODD, GOOD]) + placed(old.build(), 3), 1, AnyNamesBatch)
    offsets = []
    while rest.has_next():
        offsets += [record.offset for record in rest.next_batch()]
    assert offsets == [1, 2, 3]


def test_the_names_are_those_that_the_documentation_promises() -> None:
    (record,) = partition_records(batch(0, [ODD]))
    assert record.headers == (("before", b"1"), ("caf\\xe9", None), ("caf\\xe9", b"\xff"), ("", b""))
    assert record.headers == carried([("before", b"1"), (ODD, None), (ODD, b"\xff"), ("", b"")])
    (record,) = partition_records(batch(0, ["\u00e9\udcff\u65e0\udced\udca0\udc80"]))
    assert record.headers[1][0] == "\u00e9\\xff\u65e0\\xed\\xa0\\x80"


def test_a_record_that_does_not_end_where_it_says_is_an_error() -> None:
    whole = batch(0, [ODD])
    for cut in range(1, len(whole) - AnyNamesBatch.HEADER_STRUCT.size):
        with pytest.raises(CorruptRecordException):
            list(AnyNamesBatch(whole[:-cut]))


def test_the_reader_in_python_is_helped_too() -> None:
    batches = Batches(batch(0, [GOOD, ODD, GOOD]), default_batch=_DefaultRecordBatchPy)
    records = PartitionRecords(PLACE, batches, (), 0, None, None, True, READ_COMMITTED)
    assert [record.headers[1][0] for record in records] == [GOOD] * 3


def test_every_consumer_of_ours_is_made_here() -> None:
    package = Path(worker.__file__).parent
    makers = [path for path in package.rglob("*.py") if "AIOKafkaConsumer(" in path.read_text()]
    assert makers == [package / "consumers" / "__init__.py"]
