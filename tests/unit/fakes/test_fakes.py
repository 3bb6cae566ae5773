"""The switches of the fakes that the other tests rest on."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest
from fakes import FakeBroker, FakePublisher, FakeSession
from fakes.broker import batch_bytes

from worker.errors import BrokerError, InferenceError, OutOfMemoryError, RecordTooLargeError
from worker.inference.scores import pooled
from worker.records import Encoding, OutputRecord, TopicPartition

PARTITION = TopicPartition("topic", 0)


@pytest.fixture
def broker() -> FakeBroker:
    broker = FakeBroker()
    broker.create_topic("topic", 2)
    return broker


def output(value: bytes = b"{}", timestamp_ms: int = 5) -> OutputRecord:
    return OutputRecord("topic", 0, b"key", value, (("a", b"1"),), timestamp_ms)


def encoding(*ids: int) -> Encoding:
    return Encoding(np.array(ids, dtype=np.int32), truncated=False)


def padded(*encodings: Encoding) -> tuple[np.ndarray, np.ndarray]:
    lengths = np.array([len(each) for each in encodings], dtype=np.int32)
    ids = np.zeros((len(encodings), lengths.max()), dtype=np.int32)
    for row, each in enumerate(encodings):
        ids[row, : len(each)] = each.ids
    return ids, lengths


def test_offsets_count_per_partition_and_have_holes(broker: FakeBroker) -> None:
    assert [broker.append(PARTITION, b"%d" % number) for number in range(3)] == [0, 1, 2]
    broker.skip_offsets(PARTITION, 2)
    assert broker.append(PARTITION, b"5") == 5
    broker.compact(PARTITION, [1, 5])
    assert [record.offset for record in broker.fetch(PARTITION, 1, 10)] == [2]
    assert broker.end_offset(PARTITION) == 6
    assert broker.end_offset(TopicPartition("topic", 1)) == 0


def test_a_topic_is_created_once(broker: FakeBroker) -> None:
    with pytest.raises(ValueError, match="topic exists"):
        broker.create_topic("topic")


async def test_a_broker_that_is_away_answers_nobody_and_keeps_everything(broker: FakeBroker) -> None:
    broker.append(PARTITION, b"1")
    broker.go_away()
    assert broker.fetch(PARTITION, 0, 10) == []
    with pytest.raises(BrokerError):
        broker.commit("group", {PARTITION: 1})
    publishing = asyncio.create_task(FakePublisher(broker).publish("topic", 0, [output()]))
    await asyncio.sleep(0)
    assert not publishing.done()
    broker.come_back()
    assert await publishing == 1
    assert [record.offset for record in broker.fetch(PARTITION, 0, 10)] == [0, 1]
    assert broker.committed("group") == {}


async def test_a_batch_that_is_too_large_is_refused_whole(broker: FakeBroker) -> None:
    broker.limit_batch_bytes("topic", batch_bytes([output()] * 2))
    with pytest.raises(RecordTooLargeError):
        await FakePublisher(broker).publish("topic", 0, [output()] * 3)
    assert broker.records(PARTITION) == []
    assert await FakePublisher(broker).publish("topic", 0, [output()] * 2) == 2


async def test_a_publisher_takes_what_fits_into_its_own_batch(broker: FakeBroker) -> None:
    publisher = FakePublisher(broker, max_group_bytes=batch_bytes([output()] * 3))
    assert await publisher.publish("topic", 0, [output()] * 10) == 3
    assert await publisher.publish("topic", 0, [output(b"x" * 1000)]) == 1
    assert publisher.group_sizes == [3, 1]


def test_what_a_session_says_depends_on_the_review_alone() -> None:
    session = FakeSession()
    short, long = encoding(2, 7, 3), encoding(2, 8, 9, 10, 3)
    alone = session.predict(*padded(short))
    together = session.predict(*padded(long, short))
    assert together[1].tolist() == alone[0].tolist() == list(session.expected(short).scores)
    assert together[0].tolist() == list(session.expected(long).scores)
    assert together.dtype == np.float32
    assert together.sum(axis=1) == pytest.approx(1.0)


def test_a_review_in_windows_is_said_of_what_its_windows_are_pooled_to_and_each_may_be_poison() -> None:
    session = FakeSession()
    long = Encoding(encoding(2, 7, 9, 3).ids, truncated=True, further=(encoding(2, 8, 3).ids,))
    rows = session.predict(*padded(encoding(2, 7, 9, 3), encoding(2, 8, 3))).tolist()
    expected = session.expected(long)
    assert expected.scores == pooled(rows, [2, 1])
    assert (expected.tokens, expected.truncated, expected.windows) == (7, True, 2)
    session.poison([long])
    for window in (encoding(2, 7, 9, 3), encoding(2, 8, 3)):
        with pytest.raises(InferenceError):
            session.predict(*padded(window))


def test_a_session_fails_as_it_is_told() -> None:
    session = FakeSession(labels=3, max_tokens=8)
    bad, good = encoding(2, 7, 3), encoding(2, 8, 3)
    session.poison([bad])
    with pytest.raises(InferenceError):
        session.predict(*padded(good, bad))
    assert session.predict(*padded(good)).shape == (1, 3)
    with pytest.raises(OutOfMemoryError):
        session.predict(*padded(good, good, good))
    session.broken = True
    with pytest.raises(InferenceError, match="broken"):
        session.predict(*padded(good))
    assert session.shapes == [(2, 3), (1, 3), (3, 3), (1, 3)]


async def test_a_held_session_computes_when_it_is_permitted() -> None:
    session = FakeSession()
    session.hold()
    calls = [asyncio.create_task(asyncio.to_thread(session.predict, *padded(encoding(2, 3)))) for _ in range(2)]
    await asyncio.to_thread(session.wait_for_calls, 2)
    assert not any(call.done() for call in calls)
    session.permit()
    done, waiting = await asyncio.wait(calls, return_when=asyncio.FIRST_COMPLETED)
    assert (len(done), len(waiting)) == (1, 1)
    session.release()
    await asyncio.gather(*calls)
