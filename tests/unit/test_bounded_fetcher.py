"""What is taken of a fetch is bounded in bytes of all that a record has, and few batches are unpacked."""

from __future__ import annotations

from collections import OrderedDict
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.consumer.fetcher import READ_UNCOMMITTED, FetchResult
from aiokafka.record.default_records import DefaultRecordBatchBuilder

from worker.consumers.batches import Batches, PartitionRecords
from worker.consumers.bounded_fetcher import MAX_AHEAD_BYTES, MAX_UNPACKED, BoundedFetcher
from worker.records import HEADER_BYTES, RECORD_BYTES, bytes_in_memory

BOUND = 100_000
ZSTD = 4


class State:
    """Where a partition is read."""

    paused = False

    def __init__(self, position: int) -> None:
        self.position = position

    def consumed_to(self, position: int) -> None:
        self.position = position


class Assignment:
    active = True

    def __init__(self) -> None:
        self.states: dict[TopicPartition, State] = {}

    def state_value(self, partition: TopicPartition) -> State:
        return self.states[partition]


class Fetched(BoundedFetcher):
    """What a fetch has brought; nothing is asked for."""

    def __init__(self) -> None:  # without a client
        self.max_taken_bytes = BOUND
        self._unpacked = {}
        self._records: OrderedDict[TopicPartition, Any] = OrderedDict()
        self._subscriptions = SimpleNamespace(is_assigned=lambda _: True)
        self._wait_consume_future = None
        self.assignment = Assignment()

    def bring(self, partition: TopicPartition, data: bytes) -> None:
        records = PartitionRecords(partition, Batches(data), (), 0, None, None, True, READ_UNCOMMITTED)
        self.assignment.states[partition] = State(0)
        result = FetchResult(partition, assignment=self.assignment, partition_records=records, backoff=0)
        self._records[partition] = result

    def take(self, *wanted: TopicPartition) -> dict[TopicPartition, list[Any]]:
        return self._take(wanted, None)

    @property
    def unpacked(self) -> list[TopicPartition]:
        return [place for place, result in self._records.items() if result._partition_records.holds_unpacked]


def batch(*records: tuple[bytes, bytes, list[tuple[str, bytes]]], codec: int = ZSTD) -> bytes:
    builder = DefaultRecordBatchBuilder(2, codec, 0, -1, -1, -1, 1 << 30)
    for delta, (key, value, headers) in enumerate(records):
        builder.append(delta, 1000, key, value, headers)
    return bytes(builder.build())


PLACES = [TopicPartition("in", number) for number in range(3)]


@pytest.mark.parametrize(
    "record",
    [
        (bytes(20_000), b"", []),
        (b"", bytes(20_000), []),
        (b"", b"", [("h", bytes(20_000))]),
        (b"", b"", [("h", b"")] * 100),
        (b"", b"", [("h" * 20_000, b"")]),
        (b"", b"", []),
    ],
)
def test_keys_values_and_headers_count_and_so_does_what_is_around_them(record: Any) -> None:
    fetched = Fetched()
    fetched.bring(PLACES[0], batch(*[record] * 300))
    offsets = []
    while taken := fetched.take():
        size_bytes = [bytes_in_memory(each.key, each.value, each.headers) for each in taken[PLACES[0]]]
        assert sum(size_bytes[:-1]) < BOUND
        offsets += [each.offset for each in taken[PLACES[0]]]
        assert fetched.assignment.states[PLACES[0]].position == offsets[-1] + 1
    assert offsets == list(range(300))


def test_a_batch_is_handed_over_to_its_end_before_another_one_is_unpacked() -> None:
    fetched = Fetched()
    for place in PLACES:
        fetched.bring(place, batch(*[(b"", bytes(10_000), [])] * 12))
    order: list[TopicPartition] = []
    while taken := fetched.take():
        order += [place for place, records in taken.items() for _ in records]
        assert len(fetched.unpacked) <= 1
    assert order == [place for place in PLACES for _ in range(12)]


def test_few_batches_are_unpacked_whatever_is_asked_for_and_all_records_come_in_order() -> None:
    fetched = Fetched()
    places = [TopicPartition("in", number) for number in range(5)]
    for place in places:
        fetched.bring(place, batch(*[(b"k", b"v" * 10_000, [])] * 60))
    offsets: dict[TopicPartition, list[int]] = {place: [] for place in places}
    most = 0
    while fetched._records:
        for wanted in places:  # as when the queue of each is full in turn
            for place, records in fetched.take(wanted).items():
                offsets[place] += [record.offset for record in records]
            most = max(most, len(fetched.unpacked))
    assert most == MAX_UNPACKED
    assert all(seen == list(range(60)) for seen in offsets.values())


def test_an_unpacked_batch_is_let_go_with_its_last_record() -> None:
    fetched = Fetched()
    fetched.bring(PLACES[0], batch((b"", bytes(BOUND), [])) + b"cut off")
    fetched.take()
    assert fetched.unpacked == []


def test_nothing_more_is_asked_for_while_too_much_waits() -> None:
    fetched = Fetched()
    fetched.bring(PLACES[0], bytes(MAX_AHEAD_BYTES - 1))
    assert fetched._ahead_bytes() < MAX_AHEAD_BYTES
    fetched.bring(PLACES[1], bytes(1))
    assert fetched._ahead_bytes() == MAX_AHEAD_BYTES
    fetched.assignment.states[PLACES[0]].paused = True
    assert fetched._ahead_bytes() == 1


def test_the_value_counts_twice_and_a_header_with_what_is_around_it() -> None:
    assert bytes_in_memory(None, None, ()) == RECORD_BYTES
    assert bytes_in_memory(b"key", b"value", ()) == RECORD_BYTES + 3 + 10
    assert (
        bytes_in_memory(None, None, [("name", b"12"), ("\u00e9", None)]) == RECORD_BYTES + 2 * HEADER_BYTES + 4 + 2 + 4
    )
