"""Chunks from fetches, and who may store offsets."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.errors import IllegalGenerationError, IllegalStateError, KafkaConnectionError
from aiokafka.structs import ConsumerRecord
from faust.types import TP
from hypothesis import given
from hypothesis import strategies as st

from worker.errors import BrokerError
from worker.faust_app import consumer_thread, same_topic
from worker.faust_app.chunks import ChunkScheduler, Fetched, to_chunk
from worker.faust_app.consumer_thread import ConsumerThread
from worker.faust_app.host import Host
from worker.faust_app.transport import Consumer
from worker.records import Record, TopicPartition

FIRST, SECOND = TP("reviews.in", 0), TP("reviews.in", 1)
PARTITION = TopicPartition("reviews.in", 0)


def consumed(offset: int, value: bytes | None = b"{}", **changes: Any) -> ConsumerRecord:
    fields = {"timestamp": 1234, "key": b"key", "headers": [("a", b"1"), ("a", None)]} | changes
    return ConsumerRecord(
        "reviews.in", 0, offset, fields["timestamp"], 0, fields["key"], value, None, 0, 0, tuple(fields["headers"])
    )


def fetched(offsets: list[int], follows: int | None = None, value: bytes | None = b"{}") -> Fetched:
    return Fetched(3, follows, [consumed(offset, value) for offset in offsets])


class SmallScheduler(ChunkScheduler):
    max_records = 3


def offsets_of(chunk: Fetched) -> list[int]:
    return [record.offset for record in chunk.records]


def test_a_fetch_is_cut_into_chunks_that_follow_each_other() -> None:
    chunks = [chunk for _, chunk in SmallScheduler().iterate({FIRST: fetched([4, 5, 8, 9, 12, 13, 20], follows=4)})]
    assert [offsets_of(chunk) for chunk in chunks] == [[4, 5, 8], [9, 12, 13], [20]]
    assert [chunk.follows for chunk in chunks] == [4, 9, 14]
    assert {chunk.generation for chunk in chunks} == {3}


def test_the_first_chunk_of_an_assignment_follows_nothing() -> None:
    chunks = [chunk for _, chunk in SmallScheduler().iterate({FIRST: fetched([4, 5, 6, 7])})]
    assert [chunk.follows for chunk in chunks] == [None, 7]


def test_partitions_take_turns() -> None:
    pairs = SmallScheduler().iterate({FIRST: fetched([0, 1, 2, 3, 4, 5, 6]), SECOND: fetched([0, 1])})
    assert [(tp.partition, offsets_of(chunk)) for tp, chunk in pairs] == [
        (0, [0, 1, 2]),
        (1, [0, 1]),
        (0, [3, 4, 5]),
        (0, [6]),
    ]


def test_nothing_fetched_is_no_chunk() -> None:
    assert list(ChunkScheduler().iterate({})) == []


@given(gaps=st.lists(st.integers(1, 3), min_size=1, max_size=40))
def test_chunks_hold_every_record_once_in_order_and_name_their_predecessor(gaps: list[int]) -> None:
    offsets = [sum(gaps[: index + 1]) for index in range(len(gaps))]
    chunks = [chunk for _, chunk in SmallScheduler().iterate({FIRST: fetched(offsets)._replace(follows=offsets[0])})]
    assert [offset for chunk in chunks for offset in offsets_of(chunk)] == offsets
    for before, after in itertools.pairwise(chunks):
        assert after.follows == offsets_of(before)[-1] + 1
    assert all(len(chunk.records) <= 3 for chunk in chunks)


def test_a_chunk_has_what_the_broker_gave() -> None:
    records = [consumed(7), consumed(9, None, key=None, headers=[], timestamp=None)]
    chunk = to_chunk(FIRST, Fetched(3, 5, records))
    assert (chunk.partition, chunk.generation, chunk.follows) == (PARTITION, 3, 5)
    assert chunk.records == [
        Record(PARTITION, 7, 1234, b"key", b"{}", (("a", b"1"), ("a", None)), 3),
        Record(PARTITION, 9, -1, None, None, (), 3),
    ]


class FakeCoordinator:
    """Remembers what it was asked for."""

    def __init__(self) -> None:
        self.asked_for: list[str] = []

    def request_rejoin(self) -> None:
        self.asked_for.append("rejoin")


class FakeClient:
    """One broker, which says of every topic that it has the id of now."""

    def __init__(self) -> None:
        self.topic_id = b"the first topic."
        self.error: Exception | None = None
        self.asked: Callable[[], None] = lambda: None
        self.cluster = SimpleNamespace(leader_for_partition=lambda _: 1)

    async def send(self, broker: int, request: Any, *, group: int) -> Any:
        self.asked()
        if self.error is not None:
            raise self.error
        return SimpleNamespace(error_code=0, topic_id=self.topic_id)


class FakeConsumer:
    """As much of an aiokafka consumer as storing offsets takes."""

    def __init__(self) -> None:
        self._client = FakeClient()
        self.commits: list[dict[Any, int]] = []
        self.error: Exception | None = None
        self.positions: dict[Any, int] = {}
        self._coordinator = FakeCoordinator()

    def assignment(self) -> set[Any]:
        return set()

    def seek(self, partition: Any, offset: int) -> None:
        if self.error is not None:
            raise self.error
        self.positions[tuple(partition)] = offset

    async def commit(self, offsets: Mapping[Any, Any]) -> None:
        if self.error is not None:
            raise self.error
        self.commits.append({tuple(partition): each.offset for partition, each in offsets.items()})


class Thread(ConsumerThread):
    """The consumer's thread without the thread, and with a consumer of the test."""

    def __init__(self, consumer: FakeConsumer, app: Any) -> None:
        self.consumer_in_use = consumer
        self.app = app
        ConsumerThread.__post_init__(self)
        self.generation = 1
        self._watch_topics(consumer)

    def _ensure_consumer(self) -> Any:
        return self.consumer_in_use


class FakeMembership:
    """Answers what may be committed, and makes a commit of the old assignment meanwhile where a test wants one."""

    def __init__(self) -> None:
        self.offsets: dict[TopicPartition, int] = {}
        self.calls: list[str] = []

    async def revoked(self) -> dict[TopicPartition, int]:
        self.calls.append("revoked")
        return self.offsets

    def closed(self) -> None:
        self.calls.append("closed")

    def assigned(self, generation: int, start_offsets: Mapping[TopicPartition, int | None]) -> None:
        self.calls.append(f"assigned {generation}")


@pytest.fixture
def consumer() -> FakeConsumer:
    return FakeConsumer()


@pytest.fixture
def membership() -> FakeMembership:
    return FakeMembership()


@pytest.fixture
async def thread(consumer: FakeConsumer, membership: FakeMembership, monkeypatch: pytest.MonkeyPatch) -> Thread:
    async def nothing(*_: object) -> None:
        """What Faust does then has its own tests."""

    monkeypatch.setattr(consumer_thread.driver.AIOKafkaConsumerThread, "on_partitions_revoked", nothing)
    monkeypatch.setattr(consumer_thread.driver.AIOKafkaConsumerThread, "__post_init__", lambda _: None)
    host = Host(
        membership=membership,
        read_committed=True,
        from_beginning=True,
        exactly_once=False,
        max_taken_bytes=2**20,
        client_options={},
        skip_command="reviews-worker skip",
        worker_loop=asyncio.get_running_loop(),
    )
    return Thread(consumer, SimpleNamespace(host=host, should_stop=False))


async def test_offsets_are_stored_and_never_lowered(thread: Thread, consumer: FakeConsumer) -> None:
    assert await thread._store({PARTITION: 10}, 1)
    assert await thread._store({PARTITION: 9}, 1)
    assert await thread._store({PARTITION: 10}, 1)
    assert await thread._store({PARTITION: 11}, 1)
    assert consumer.commits == [{FIRST: 10}, {FIRST: 11}]


@pytest.mark.parametrize("generation", [0, 2])
async def test_offsets_of_another_assignment_are_not_stored(
    generation: int, thread: Thread, consumer: FakeConsumer
) -> None:
    assert not await thread._store({PARTITION: 10}, generation)
    assert consumer.commits == []


async def test_a_commit_that_the_group_refuses_is_stale_and_one_that_fails_is_an_error(
    thread: Thread, consumer: FakeConsumer
) -> None:
    consumer.error = IllegalGenerationError()
    assert not await thread._store({PARTITION: 10}, 1)
    consumer.error = KafkaConnectionError("away")
    with pytest.raises(BrokerError):
        await thread._store({PARTITION: 10}, 1)
    consumer.error = None
    assert await thread._store({PARTITION: 10}, 1)
    assert consumer.commits == [{FIRST: 10}]


async def test_at_revocation_what_is_done_is_stored_before_the_assignment_ends(
    thread: Thread, consumer: FakeConsumer, membership: FakeMembership
) -> None:
    membership.offsets = {PARTITION: 20}
    await thread.on_partitions_revoked({FIRST})
    assert consumer.commits == [{FIRST: 20}]
    assert membership.calls == ["revoked", "closed"]
    assert thread.generation == 2


async def test_a_commit_that_comes_after_the_revocation_does_not_lower_what_was_stored(
    thread: Thread, consumer: FakeConsumer, membership: FakeMembership
) -> None:
    """The commit routine may have asked before the revocation and be served after it."""
    membership.offsets = {PARTITION: 20}
    await thread.on_partitions_revoked({FIRST})
    assert not await thread._store({PARTITION: 10}, 1)
    assert consumer.commits == [{FIRST: 20}]


async def test_a_broker_that_is_away_at_revocation_costs_repeats_and_no_more(
    thread: Thread, consumer: FakeConsumer, membership: FakeMembership
) -> None:
    membership.offsets = {PARTITION: 20}
    consumer.error = KafkaConnectionError("away")
    await thread.on_partitions_revoked({FIRST})
    assert membership.calls == ["revoked", "closed"]


@pytest.fixture
def records_come(thread: Thread, monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """What Faust has asked for, with its own state to be set: two records of each partition."""

    async def records(*_: object, **__: object) -> dict[TP, list[ConsumerRecord]]:
        return {FIRST: [consumed(4), consumed(5)], SECOND: [consumed(7), consumed(8)]}

    monkeypatch.setattr(consumer_thread.driver.AIOKafkaConsumerThread, "_fetch_records", records)
    state = SimpleNamespace(flow_active=True, _active_partitions={FIRST, SECOND})
    thread.consumer = state  # type: ignore[assignment]
    return state


async def test_what_is_fetched_is_handed_over_once(
    thread: Thread, consumer: FakeConsumer, records_come: SimpleNamespace
) -> None:
    fetched = await thread._fetch_records()
    assert {tp: offsets_of(chunk) for tp, chunk in fetched.items()} == {FIRST: [4, 5], SECOND: [7, 8]}
    assert not consumer.positions


async def test_what_comes_while_faust_would_throw_it_away_is_fetched_again(
    thread: Thread, consumer: FakeConsumer, records_come: SimpleNamespace
) -> None:
    records_come.flow_active = False
    assert await thread._fetch_records() == {}
    assert consumer.positions == {FIRST: 4, SECOND: 7}
    records_come.flow_active = True
    records_come._active_partitions = {SECOND}
    assert set(await thread._fetch_records()) == {SECOND}
    records_come._active_partitions = {FIRST}
    (first,) = (await thread._fetch_records()).values()
    assert first.follows is None


async def test_what_is_read_a_second_time_is_of_a_topic_that_begins_anew_and_the_assignment_is_too(
    thread: Thread, consumer: FakeConsumer, records_come: SimpleNamespace, caplog: pytest.LogCaptureFixture
) -> None:
    await thread._fetch_records()
    assert await thread._fetch_records() == {}
    assert consumer._coordinator.asked_for == ["rejoin"]
    (line,) = caplog.messages
    assert "begins anew at 4, and was read to 6" in line


async def test_what_was_handed_over_and_may_be_lost_in_cleared_queues_is_read_again(
    thread: Thread, consumer: FakeConsumer, records_come: SimpleNamespace, caplog: pytest.LogCaptureFixture
) -> None:
    await thread._fetch_records()
    thread._read_again()
    assert consumer.positions == {FIRST: 4, SECOND: 7}
    assert [each.follows for each in (await thread._fetch_records()).values()] == [None, None]
    assert not caplog.messages
    assert await thread._fetch_records() == {}  # this time nobody has asked for it


async def test_what_was_handed_over_and_is_stored_is_not_read_again(
    thread: Thread, consumer: FakeConsumer, records_come: SimpleNamespace, caplog: pytest.LogCaptureFixture
) -> None:
    await thread._fetch_records()
    assert await thread._store({TopicPartition(*SECOND): 9}, 1)
    thread._read_again()
    assert consumer.positions == {FIRST: 4}
    assert set(await thread._fetch_records()) == {FIRST}
    assert "reviews.in/1 begins anew at 7, and was read to 9" in caplog.messages[0]


@pytest.fixture
def no_answer_counts_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(same_topic, "LOOK_INTERVAL_S", 0.0)


async def test_the_id_of_a_topic_is_not_asked_again_for_each_fetch(
    thread: Thread, consumer: FakeConsumer, records_come: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(same_topic, "LOOK_INTERVAL_S", 3600.0)
    assert set(await thread._fetch_records()) == {FIRST, SECOND}
    consumer._client.asked = lambda: pytest.fail("the answer of a moment ago counts")
    thread._read_again()
    assert set(await thread._fetch_records()) == {FIRST, SECOND}


@pytest.mark.usefixtures("no_answer_counts_for_long")
async def test_what_is_fetched_of_a_topic_that_was_made_anew_is_not_handed_over_and_the_group_begins_anew(
    thread: Thread, consumer: FakeConsumer, records_come: SimpleNamespace, caplog: pytest.LogCaptureFixture
) -> None:
    await thread._fetch_records()
    consumer._client.topic_id = b"the second topic"
    assert await thread._fetch_records() == {}
    assert await thread._fetch_records() == {}
    assert consumer._coordinator.asked_for == ["rejoin"]
    assert not await thread._store({PARTITION: 6}, 1)
    (line,) = caplog.messages
    assert "reviews.in was deleted and created anew" in line
    assert "0 to 6, 1 to 9" in line


@pytest.mark.usefixtures("no_answer_counts_for_long")
async def test_what_a_broker_still_has_of_the_topic_before_is_not_handed_over_either(
    thread: Thread, consumer: FakeConsumer, records_come: SimpleNamespace
) -> None:
    await thread._fetch_records()
    first, consumer._client.topic_id = consumer._client.topic_id, b"the second topic"
    await thread._fetch_records()
    thread.generation = 2
    thread._handed_over.clear()
    consumer._client.topic_id = first
    assert await thread._fetch_records() == {}
    consumer._client.topic_id = b"the second topic"
    assert set(await thread._fetch_records()) == {FIRST, SECOND}


async def test_where_it_cannot_be_learnt_which_topic_it_is_the_records_are_fetched_again(
    thread: Thread, consumer: FakeConsumer, records_come: SimpleNamespace
) -> None:
    consumer._client.error = KafkaConnectionError("away")
    assert await thread._fetch_records() == {}
    assert consumer.positions == {FIRST: 4, SECOND: 7}
    consumer._client.error = None
    assert set(await thread._fetch_records()) == {FIRST, SECOND}


async def test_a_broker_that_knows_no_ids_is_read_from_all_the_same(
    thread: Thread, consumer: FakeConsumer, records_come: SimpleNamespace
) -> None:
    consumer._client.error = NotImplementedError()
    assert set(await thread._fetch_records()) == {FIRST, SECOND}


async def test_what_was_fetched_for_an_assignment_that_ends_meanwhile_is_not_taken_for_the_next_one(
    thread: Thread, consumer: FakeConsumer, records_come: SimpleNamespace
) -> None:
    def the_assignment_ends() -> None:
        thread.generation = 2

    consumer._client.asked = the_assignment_ends
    assert await thread._fetch_records() == {}
    assert set(await thread._fetch_records()) == {FIRST, SECOND}


@pytest.mark.usefixtures("no_answer_counts_for_long")
async def test_what_was_fetched_before_records_below_were_sought_comes_after_these(
    thread: Thread, consumer: FakeConsumer, records_come: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    await thread._fetch_records()

    async def more(*_: object, **__: object) -> dict[TP, list[ConsumerRecord]]:
        return {FIRST: [consumed(6)], TP("reviews.in", 2): [consumed(1)]}

    monkeypatch.setattr(consumer_thread.driver.AIOKafkaConsumerThread, "_fetch_records", more)
    consumer._client.asked = thread._read_again
    records_come._active_partitions = {FIRST, TP("reviews.in", 2)}
    assert await thread._fetch_records() == {}
    assert consumer.positions == {FIRST: 4, SECOND: 7, TP("reviews.in", 2): 1}


async def test_faust_is_not_let_to_ask_the_broker_where_to_seek(
    thread: Thread, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the assignment ends meanwhile aiokafka does not answer, and Faust would wait for ever."""
    monkeypatch.setattr(thread, "thread_loop", asyncio.get_running_loop(), raising=False)
    faust = Consumer.__new__(Consumer)
    faust._thread, faust._read_offset = thread, {FIRST: 7}
    await faust.perform_seek()
    assert not faust._read_offset


async def test_what_comes_of_a_partition_that_is_lost_is_forgotten(
    thread: Thread, consumer: FakeConsumer, records_come: SimpleNamespace
) -> None:
    records_come._active_partitions = set()
    consumer.error = IllegalStateError("Partition is not assigned")
    assert await thread._fetch_records() == {}
