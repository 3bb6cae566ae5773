"""What is damaged of a fetch is found where it begins, nothing before it is lost, and its end is never guessed."""

from __future__ import annotations

import struct
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.consumer.fetcher import READ_UNCOMMITTED
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.util import calc_crc32c

from worker.consumers.answers import WITHHELD_S, WITHHELD_TIMES, Answers
from worker.consumers.batches import Batches, PartitionRecords
from worker.errors import DamagedBatchError

PLACE = TopicPartition("in", 3)
SIZE = 4
CHECKSUM_AT, ATTRIBUTES_AT, LAST_DELTA_AT, COUNT_AT = 17, 21, 23, 57


def batch(base: int, codec: int = 0, count: int = SIZE) -> bytearray:
    builder = DefaultRecordBatchBuilder(2, codec, 0, -1, -1, -1, 1 << 20)
    for delta in range(count):
        builder.append(delta, 1000, b"k", b"%d" % (base + delta), [])
    built = builder.build()
    struct.pack_into(">q", built, 0, base)
    return built


def sealed(built: bytearray) -> bytearray:
    struct.pack_into(">I", built, CHECKSUM_AT, calc_crc32c(bytes(built[ATTRIBUTES_AT:])))
    return built


def read(data: bytes, start: int = 0) -> tuple[list[int], DamagedBatchError]:
    """The offsets before the damage, and the damage."""
    records = PartitionRecords(PLACE, Batches(data), (), start, None, None, True, READ_UNCOMMITTED)
    offsets: list[int] = []
    with pytest.raises(DamagedBatchError) as raised:
        offsets.extend(record.offset for record in iter(lambda: next(records), None))
    return offsets, raised.value


def three(damaged: bytearray) -> bytes:
    return bytes(batch(0) + damaged + batch(2 * SIZE))


@pytest.mark.parametrize("codec", range(5))
def test_a_wrong_checksum_ends_the_reading_before_it(codec: int) -> None:
    damaged = batch(SIZE, codec)
    damaged[-1] ^= 1
    records = PartitionRecords(PLACE, Batches(three(damaged)), (), 0, None, None, True, READ_UNCOMMITTED)
    assert [next(records).offset for _ in range(SIZE)] == [0, 1, 2, 3]
    with pytest.raises(DamagedBatchError) as raised:
        next(records)
    damage = raised.value
    assert (damage.topic, damage.partition, damage.offset, damage.end) == (*PLACE, SIZE, 2 * SIZE)
    assert str(damage) == "in/3 cannot be read at offset 4, up to 7: its checksum is wrong"


@pytest.mark.parametrize("codec", range(5))
def test_what_cannot_be_unpacked_is_damage_and_is_not_quoted(codec: int) -> None:
    damaged = batch(SIZE, codec)
    damaged[61:] = b"\xa5secret" * 40
    struct.pack_into(">i", damaged, 8, len(damaged) - 12)
    records = PartitionRecords(PLACE, Batches(three(sealed(damaged))), (), SIZE, None, None, True, READ_UNCOMMITTED)
    with pytest.raises(DamagedBatchError) as raised:
        next(records)
    assert (raised.value.offset, raised.value.end) == (SIZE, 2 * SIZE)
    assert "secret" not in str(raised.value)


def test_records_before_the_damage_in_its_own_batch_are_read() -> None:
    damaged = batch(SIZE)
    at = bytes(damaged).index(b"6")
    damaged[at - 3] = 0x7D  # the length of the key: beyond the end
    records = PartitionRecords(PLACE, Batches(bytes(sealed(damaged))), (), SIZE, None, None, True, READ_UNCOMMITTED)
    assert [next(records).offset, next(records).offset] == [4, 5]
    with pytest.raises(DamagedBatchError) as raised:
        next(records)
    assert (raised.value.offset, raised.value.end) == (6, 8)


@pytest.mark.parametrize(
    ("last_delta", "count", "alone", "end"),
    [
        (SIZE - 1, SIZE, True, 2 * SIZE),
        (SIZE - 1, SIZE, False, 2 * SIZE),
        (-7, SIZE, False, 2 * SIZE),
        (-7, SIZE, True, None),
        (1 << 30, SIZE, False, 2 * SIZE),
        (SIZE - 1, 1 << 30, True, None),
        (SIZE - 1, -2, False, 2 * SIZE),
    ],
)
def test_its_end_is_that_of_its_header_or_the_begin_of_the_next_batch(
    last_delta: int, count: int, alone: bool, end: int | None
) -> None:
    damaged = batch(SIZE)
    struct.pack_into(">i", damaged, LAST_DELTA_AT, last_delta)
    struct.pack_into(">i", damaged, COUNT_AT, count)
    damaged[-1] ^= 1
    data = bytes(damaged) if alone else bytes(damaged + batch(2 * SIZE))
    assert read(data, SIZE)[1].end == end


@pytest.mark.parametrize("length", [-5, 0, 20, 1 << 29])
def test_a_batch_without_a_true_length_is_damage(length: int) -> None:
    damaged = batch(SIZE)
    struct.pack_into(">i", damaged, 8, length)
    damage = read(bytes(damaged), SIZE)[1]
    assert (damage.offset, damage.end) == (SIZE, 2 * SIZE)


def test_what_follows_the_last_record_of_a_batch_is_no_damage() -> None:
    damaged = batch(SIZE)
    damaged += b"more"
    struct.pack_into(">i", damaged, 8, len(damaged) - 12)
    records = PartitionRecords(PLACE, Batches(bytes(sealed(damaged))), (), SIZE, None, None, True, READ_UNCOMMITTED)
    assert [record.offset for record in records] == [4, 5, 6, 7]
    assert records.next_fetch_offset == 2 * SIZE


def request(*offsets: int) -> Any:
    return SimpleNamespace(topics=[("in", [(number, offset, 1000) for number, offset in enumerate(offsets)])])


def answer(*parts: tuple[int, int, bytes]) -> Any:
    """Error code, readable end, and data of each partition."""
    listed = [(number, code, end, end, 0, [], data) for number, (code, end, data) in enumerate(parts)]
    return SimpleNamespace(API_VERSION=6, topics=[("in", listed)])


def test_a_broker_that_cannot_read_a_partition_says_so() -> None:
    answers = Answers(read_committed=True)
    (damage,) = answers.faults(request(5, 7), answer((0, 9, b"x"), (2, 9, b"")), 0.0)
    assert str(damage) == "in/1 cannot be read at offset 7: its broker cannot read it (CORRUPT_MESSAGE)"


def test_what_is_withheld_for_long_is_damage() -> None:
    answers = Answers(read_committed=True)
    found = [
        list(answers.faults(request(5, 9), answer((0, 9, b""), (0, 9, b"")), number * WITHHELD_S))
        for number in range(WITHHELD_TIMES + 1)
    ]
    assert [[(each.partition, each.offset) for each in damage] for damage in found] == [[]] * WITHHELD_TIMES + [
        [(0, 5)]
    ]


@pytest.mark.parametrize(
    ("asked", "parts"),
    [
        (request(5, 7), ((0, 9, b"x"), (0, 9, b""))),  # there was no room for it
        (request(5, 9), ((0, 5, b""), (0, 9, b""))),  # there is no more
    ],
)
def test_what_only_had_no_room_or_is_not_there_is_no_damage(asked: Any, parts: Any) -> None:
    answers = Answers(read_committed=True)
    for number in range(2 * WITHHELD_TIMES):
        assert not list(answers.faults(asked, answer(*parts), number * WITHHELD_S))
