"""Two batches are computed at once, and what comes out is as if it were one after the other."""

from __future__ import annotations

import asyncio
import json
import threading

import pytest
from fakes import FakeBroker, FakeGroup, FakeSession, FakeWorker
from pipeline_parts import until

from worker.clock import FakeClock
from worker.inference import Artifact
from worker.inference.artifact import BUNDLED_PATH, PIECES
from worker.inference.scores import Scores
from worker.inference.session import Ids, Lengths
from worker.records import TopicPartition
from worker.settings import Settings
from worker.tokenization.tokenizer import Tokenizer

PARTITION = TopicPartition("reviews.in", 0)
OUTPUT = TopicPartition("reviews.classified", 0)
LONG_TEXT = " ".join(["good"] * 40)


class FirstIsLast(FakeSession):
    """The first batch is not done before a test says so, however many others are."""

    def __init__(self) -> None:
        super().__init__(concurrency=2)
        self.go_on = threading.Event()
        self._first = threading.Lock()

    def predict(self, ids: Ids, lengths: Lengths) -> Scores:
        first = self._first.acquire(blocking=False)
        scores = super().predict(ids, lengths)
        if first:
            assert self.go_on.wait(30)
        return scores


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Artifact.load(None).load_tokeniser()


@pytest.fixture
def broker() -> FakeBroker:
    broker = FakeBroker()
    for topic in ("reviews.in", "reviews.classified", "reviews.dlq"):
        broker.create_topic(topic)
    return broker


def build(broker: FakeBroker, session: FakeSession, tokenizer: Tokenizer, **changes: object) -> FakeWorker:
    settings = Settings(commit_interval_s=3600.0, grace_period_s=20.0).model_copy(update=changes)
    group = FakeGroup(broker, settings.group, settings.input_topic)
    return FakeWorker(group, settings, session=session, tokenizer=tokenizer, clock=FakeClock(), flush_timeout_s=0.01)


def append(broker: FakeBroker, count: int) -> None:
    for number in range(count):
        broker.append(PARTITION, json.dumps({"text": f"review number {number}"}).encode())


def offsets_out(broker: FakeBroker) -> list[int]:
    return [int((dict(record.headers)["source"] or b"").rsplit(b"/", 1)[1]) for record in broker.records(OUTPUT)]


async def test_two_batches_are_computed_at_once_and_a_third_is_cut_ahead(
    broker: FakeBroker, tokenizer: Tokenizer
) -> None:
    session = FakeSession(concurrency=2)
    worker = build(broker, session, tokenizer, max_batch_reviews=1)
    session.hold()
    append(broker, 8)  # one chunk
    await worker.start()
    await asyncio.to_thread(session.wait_for_calls, 2)
    waiting = "reviews_worker_queue_reviews"
    await until(lambda: worker.metrics.registry.get_sample_value(waiting) == 8 - 3)
    assert len(session.shapes) == 2
    session.permit()
    await asyncio.to_thread(session.wait_for_calls, 3)
    session.release()
    await broker.until(lambda: len(broker.records(OUTPUT)) == 8)
    assert await worker.stop() == 0
    assert offsets_out(broker) == list(range(8))


async def test_outputs_keep_their_order_though_the_second_batch_is_faster(
    broker: FakeBroker, tokenizer: Tokenizer
) -> None:
    session = FirstIsLast()
    worker = build(broker, session, tokenizer, max_batch_reviews=1)
    append(broker, 6)
    await worker.start()
    await asyncio.to_thread(session.wait_for_calls, 6)
    batches = "reviews_worker_batches_total"
    await until(lambda: worker.metrics.registry.get_sample_value(batches) == 5)
    assert len(broker.records(OUTPUT)) < 6
    session.go_on.set()
    await broker.until(lambda: len(broker.records(OUTPUT)) == 6)
    assert await worker.stop() == 0
    assert offsets_out(broker) == list(range(6))
    assert broker.committed("reviews-worker") == {PARTITION: 6}


async def test_a_drain_finishes_what_is_computed_side_by_side(broker: FakeBroker, tokenizer: Tokenizer) -> None:
    session = FakeSession(concurrency=2)
    worker = build(broker, session, tokenizer)
    session.hold()
    append(broker, 40)
    await worker.start()
    await asyncio.to_thread(session.wait_for_calls, 2)
    in_flight = worker.pipeline.task
    await until(lambda: in_flight is not None and in_flight.in_flight == 40)
    stopping = asyncio.create_task(worker.stop())
    await asyncio.sleep(0)
    assert not stopping.done()
    session.release()
    assert await stopping == 0
    assert offsets_out(broker) == list(range(40))
    assert broker.committed("reviews-worker") == {PARTITION: 40}


async def test_nobody_waits_for_a_batch_any_more_once_the_worker_is_dead(
    broker: FakeBroker, tokenizer: Tokenizer
) -> None:
    session = FakeSession(concurrency=2)
    worker = build(broker, session, tokenizer)
    session.hold()
    append(broker, 40)
    await worker.start()
    await asyncio.to_thread(session.wait_for_calls, 2)
    assert {"inference-0", "inference-1"} <= {task.get_name() for task in asyncio.all_tasks()}
    await worker.kill()
    assert not [task for task in asyncio.all_tasks() if task.get_name().startswith("inference-")]
    session.release()


async def test_an_error_in_one_batch_stops_the_worker(broker: FakeBroker, tokenizer: Tokenizer) -> None:
    class Buggy(FirstIsLast):
        def predict(self, ids: Ids, lengths: Lengths) -> Scores:
            if self._first.locked():
                self.go_on.set()
                raise KeyError("a bug")
            return super().predict(ids, lengths)

    append(broker, 60)
    with pytest.raises(KeyError, match="a bug"):
        await build(broker, Buggy(), tokenizer).run()
    assert broker.committed("reviews-worker").get(PARTITION, 0) < 60


async def test_a_review_whose_windows_are_computed_at_once_comes_out_once(broker: FakeBroker) -> None:
    tokenizer = Tokenizer(BUNDLED_PATH / PIECES, max_length=16, lower_case=True)
    session = FakeSession(concurrency=2)
    changes = {"overflow": "windows", "window_overlap_tokens": 4, "max_windows": 8, "max_batch_reviews": 1}
    worker = build(broker, session, tokenizer, **changes)
    broker.append(PARTITION, json.dumps({"text": LONG_TEXT}).encode())
    append(broker, 1)
    session.hold()
    await worker.start()
    await asyncio.to_thread(session.wait_for_calls, 2)
    assert broker.records(OUTPUT) == []
    session.release()
    await broker.until(lambda: len(broker.records(OUTPUT)) == 2)
    assert await worker.stop() == 0
    assert offsets_out(broker) == [0, 1]
    encoding = tokenizer.with_overflow(worker._settings.reading).encode(LONG_TEXT)
    result = json.loads(broker.records(OUTPUT)[0].value or b"")["sentiment"]
    assert result["windows"] == len(encoding.windows) > 2
    expected = session.expected(encoding).scores
    assert list(result["scores"].values()) == [round(score, 6) for score in expected]
    assert broker.committed("reviews-worker") == {PARTITION: 2}
