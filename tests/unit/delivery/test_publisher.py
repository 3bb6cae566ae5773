"""When the producer is replaced, when a batch is tried again, and when it is hopeless."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Sequence
from typing import Any

import pytest
from aiokafka.errors import (
    InvalidRequestError,
    InvalidRequiredAcksError,
    InvalidTopicError,
    KafkaConnectionError,
    KafkaTimeoutError,
    MessageSizeTooLargeError,
    OutOfOrderSequenceNumber,
    TopicAuthorizationFailedError,
    UnsupportedForMessageFormatError,
    UnsupportedVersionError,
    for_code,
)
from worker_process import eventually

from worker.delivery import publisher as publisher_module
from worker.delivery import silence
from worker.delivery.publisher import KafkaPublisher
from worker.errors import DeliveryError, Reason, RecordRefusedError, RecordTooLargeError
from worker.metrics import Metrics
from worker.records import OutputRecord, TopicPartition

BATCH_RECORDS = 3


class FakeBatch:
    """Takes a few records."""

    def __init__(self) -> None:
        self.records: list[dict[str, Any]] = []

    def append(self, **record: Any) -> object | None:
        if len(self.records) == BATCH_RECORDS:
            return None
        self.records.append(record)
        return object()

    def close(self) -> None:
        """Full."""


class FakeClient:
    """Its client, which knows topics, and is its own picture of the cluster."""

    def __init__(self, factory: Factory) -> None:
        self.cluster = self
        self._factory = factory

    def partitions_for_topic(self, topic: str) -> set[int] | None:
        return None if topic in self._factory.missing_topics else {0, 1}

    async def force_metadata_update(self) -> None:
        """It knows everything."""

    def leader_for_partition(self, partition: TopicPartition) -> int:
        return -1 if partition in self._factory.without_leader else 1


class FakeProducer:
    """One aiokafka producer of a `Factory`."""

    def __init__(self, factory: Factory) -> None:
        self._factory = factory
        self.started = self.stopped = False
        self.client = FakeClient(factory)

    async def start(self) -> None:
        if self._factory.start_errors:
            raise self._factory.start_errors.pop(0)
        self.started = True

    async def stop(self) -> None:
        self.stopped = True

    def create_batch(self) -> FakeBatch:
        return FakeBatch()

    async def send_batch(self, batch: FakeBatch, topic: str, *, partition: int) -> Awaitable[None]:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if self._factory.answers is not None:
            await self._factory.answers.wait()
        if self._factory.send_errors:
            future.set_exception(self._factory.send_errors.pop(0))
        else:
            self._factory.stored += [(topic, partition, record) for record in batch.records]
            future.set_result(None)
        return future


class Factory:
    """Makes producers that fail as a test says."""

    def __init__(self) -> None:
        self.producers: list[FakeProducer] = []
        self.start_errors: list[Exception] = []
        self.send_errors: list[Exception] = []
        self.missing_topics: set[str] = set()
        self.without_leader: set[TopicPartition] = set()
        self.answers: asyncio.Event | None = None
        """What an answer waits for."""
        self.stored: list[tuple[str, int, dict[str, Any]]] = []

    def __call__(self) -> Any:
        self.producers.append(FakeProducer(self))
        return self.producers[-1]


@pytest.fixture
def factory() -> Factory:
    return Factory()


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


@pytest.fixture
async def publisher(
    factory: Factory, metrics: Metrics, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[KafkaPublisher]:
    monkeypatch.setattr(publisher_module, "FIRST_PAUSE_S", 0.0)
    publisher = KafkaPublisher(factory, metrics)
    await publisher.start()
    yield publisher
    await publisher.stop()
    assert all(producer.stopped for producer in factory.producers)


def outputs(count: int, timestamp_ms: int = 1234) -> list[OutputRecord]:
    return [OutputRecord("out", 1, b"key", b"%d" % number, (("a", None),), timestamp_ms) for number in range(count)]


async def test_as_many_as_a_batch_takes_are_published(publisher: KafkaPublisher, factory: Factory) -> None:
    assert await publisher.publish("out", 1, outputs(2)) == 2
    assert await publisher.publish("out", 1, outputs(10)) == BATCH_RECORDS
    assert [(topic, partition, record["value"]) for topic, partition, record in factory.stored] == [
        ("out", 1, b"0"),
        ("out", 1, b"1"),
        ("out", 1, b"0"),
        ("out", 1, b"1"),
        ("out", 1, b"2"),
    ]
    assert factory.stored[0][2] == {"key": b"key", "value": b"0", "timestamp": 1234, "headers": [("a", None)]}


async def test_a_record_without_a_timestamp_gets_the_producers(publisher: KafkaPublisher, factory: Factory) -> None:
    await publisher.publish("out", 1, outputs(1, timestamp_ms=-1))
    await publisher.publish("out", 1, outputs(1, timestamp_ms=0))
    assert [record["timestamp"] for _, _, record in factory.stored] == [None, 0]


async def test_a_batch_that_failed_is_tried_again_through_a_new_producer(
    publisher: KafkaPublisher, factory: Factory, metrics: Metrics, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    factory.send_errors = [KafkaTimeoutError(), OutOfOrderSequenceNumber(), OSError("reset")]
    assert await publisher.publish("out", 1, outputs(1)) == 1
    assert len(factory.stored) == 1
    assert len(factory.producers) == 4
    assert metrics.registry.get_sample_value("reviews_worker_retries_total", {"stage": "publish"}) == 3
    told = [record.levelname for record in caplog.records]
    assert told == ["WARNING", "INFO"], "once when it begins, once when it ends"


@pytest.mark.parametrize(
    ("missing", "without_leader", "partition", "reason"),
    [
        ([], [], 1, "no answer for 0 s"),
        (["out"], [], 1, "the broker knows no such topic"),
        ([], [TopicPartition("out", 1)], 1, "partition 1 has no leader"),
        ([], [], 2, "it has no partition 2 any more; start the worker again if that is to stay"),
    ],
)
async def test_a_topic_that_does_not_answer_is_told_long_before_the_producer_gives_up(
    missing: Sequence[str],
    without_leader: Sequence[TopicPartition],
    partition: int,
    reason: str,
    publisher: KafkaPublisher,
    factory: Factory,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    factory.missing_topics.update(missing)
    factory.without_leader.update(without_leader)
    caplog.set_level("INFO")
    monkeypatch.setattr(silence, "SILENCE_S", 0.0)
    factory.answers = asyncio.Event()
    publishing = asyncio.create_task(publisher.publish("out", partition, outputs(1)))
    await eventually(lambda: caplog.records, "the silence is told")
    factory.answers.set()
    assert await publishing == 1
    assert [record.message for record in caplog.records] == [
        f"out does not take outputs now ({reason}); trying again, nothing is lost",
        "out takes outputs again",
    ]


async def test_without_a_new_producer_the_old_one_goes_on(publisher: KafkaPublisher, factory: Factory) -> None:
    factory.send_errors = [KafkaTimeoutError(), KafkaTimeoutError()]
    factory.start_errors = [KafkaConnectionError("away"), OSError("away")]
    assert await publisher.publish("out", 1, outputs(1)) == 1
    first, *failed = factory.producers
    assert not first.stopped
    assert [producer.stopped for producer in failed] == [True, True]


async def test_lanes_that_fail_together_replace_the_producer_once(publisher: KafkaPublisher, factory: Factory) -> None:
    factory.send_errors = [KafkaTimeoutError() for _ in range(4)]
    assert await asyncio.gather(*(publisher.publish("out", number, outputs(1)) for number in range(4))) == [1] * 4
    assert len(factory.producers) == 2


async def test_a_size_that_is_refused_is_told_and_the_producer_is_new(
    publisher: KafkaPublisher, factory: Factory
) -> None:
    factory.send_errors = [MessageSizeTooLargeError("1048588")]
    with pytest.raises(RecordTooLargeError):
        await publisher.publish("out", 1, outputs(2))
    assert await publisher.publish("out", 1, outputs(2)) == 2
    assert len(factory.producers) == 2


async def test_a_record_that_is_refused_for_something_else_is_told_and_what_aiokafka_has_no_name_for_is_tried_again(
    publisher: KafkaPublisher, factory: Factory
) -> None:
    factory.send_errors = [for_code(87)(), for_code(-1)()]
    with pytest.raises(RecordRefusedError) as caught:
        await publisher.publish("out", 1, outputs(2))
    assert caught.value.reason is Reason.OUTPUT_REFUSED
    assert await publisher.publish("out", 1, outputs(2)) == 2
    assert len(factory.producers) == 3


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (10, Reason.OUTPUT_TOO_LARGE),
        (18, Reason.OUTPUT_TOO_LARGE),
        (32, Reason.TIMESTAMP_REFUSED),
        (44, Reason.OUTPUT_REFUSED),
        (87, Reason.OUTPUT_REFUSED),
    ],
)
async def test_what_another_record_may_change_is_a_refusal_of_this_one(
    publisher: KafkaPublisher, factory: Factory, code: int, reason: Reason
) -> None:
    factory.send_errors = [for_code(code)()]
    with pytest.raises(RecordRefusedError) as caught:
        await publisher.publish("out", 1, outputs(2))
    assert caught.value.reason is reason
    assert await publisher.publish("out", 1, outputs(2)) == 2


@pytest.mark.parametrize("code", [-1, 2, 3, 5, 6, 7, 19, 20, 45, 47, 48, 49, 51, 56, 59, 90, 120])
async def test_what_may_pass_is_tried_again(publisher: KafkaPublisher, factory: Factory, code: int) -> None:
    factory.send_errors = [for_code(code)()]
    assert await publisher.publish("out", 1, outputs(2)) == 2


@pytest.mark.parametrize(
    "error",
    [
        InvalidTopicError(),
        InvalidRequiredAcksError(),
        UnsupportedVersionError(),
        InvalidRequestError(),
        UnsupportedForMessageFormatError(),
        for_code(76)(),
    ],
)
async def test_what_no_other_record_changes_is_hopeless(
    publisher: KafkaPublisher, factory: Factory, error: Exception
) -> None:
    factory.send_errors = [error]
    with pytest.raises(DeliveryError, match=f"out cannot be written to: {type(error).__name__}"):
        await publisher.publish("out", 1, outputs(1))


async def test_missing_rights_are_hopeless(publisher: KafkaPublisher, factory: Factory) -> None:
    factory.send_errors = [TopicAuthorizationFailedError("out")]
    with pytest.raises(DeliveryError, match="out: this worker's user may not write the topic; grant Write on it"):
        await publisher.publish("out", 1, outputs(1))


async def test_a_producer_that_cannot_start_leaves_nothing_open(factory: Factory, metrics: Metrics) -> None:
    factory.start_errors = [KafkaConnectionError("away")]
    with pytest.raises(KafkaConnectionError):
        await KafkaPublisher(factory, metrics).start()
    assert factory.producers[0].stopped


async def test_after_a_stop_nothing_is_published(factory: Factory, metrics: Metrics) -> None:
    publisher = KafkaPublisher(factory, metrics)
    await publisher.start()
    await publisher.stop()
    await publisher.stop()
    with pytest.raises(DeliveryError, match="stopped"):
        await publisher.publish("out", 1, outputs(1))


async def test_a_group_that_is_abandoned_is_not_tried_again(publisher: KafkaPublisher, factory: Factory) -> None:
    factory.send_errors = [KafkaTimeoutError(), KafkaTimeoutError()]
    assert await publisher.publish("out", 1, outputs(1), lambda: True) == 0
    assert factory.stored == []
    assert len(factory.send_errors) == 1
