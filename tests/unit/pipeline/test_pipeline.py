"""The flow from intake to committed offsets, over fakes."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

import pytest
from fakes import FakeBroker, FakeGroup, FakeSession, FakeWorker
from pipeline_parts import make_chunk, until

from worker.clock import FakeClock
from worker.errors import BrokerError, DeliveryError, ExitCode
from worker.inference import Artifact
from worker.inference.artifact import BUNDLED_PATH, PIECES
from worker.pipeline.lifecycle import State
from worker.records import TopicPartition
from worker.settings import Settings
from worker.tokenization.tokenizer import Tokenizer

PARTITION = TopicPartition("reviews.in", 0)
OUTPUT = TopicPartition("reviews.classified", 0)
NEVER_S = 3600.0


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Artifact.load(None).load_tokeniser()


@pytest.fixture
def broker() -> FakeBroker:
    broker = FakeBroker()
    for topic in ("reviews.in", "reviews.classified", "reviews.dlq"):
        broker.create_topic(topic)
    return broker


@pytest.fixture
def session() -> FakeSession:
    return FakeSession()


@pytest.fixture
async def worker(broker: FakeBroker, session: FakeSession, tokenizer: Tokenizer) -> AsyncIterator[FakeWorker]:
    """A worker that has not started; nothing is committed unless a test asks for it."""
    worker = build(broker, session, tokenizer)
    yield worker
    session.release()
    worker.publisher.release()
    if worker.pipeline.lifecycle.state in (State.RUNNING, State.DRAINING, State.FAILED):
        await worker.stop()


def build(broker: FakeBroker, session: FakeSession, tokenizer: Tokenizer, **changes: object) -> FakeWorker:
    settings = Settings(commit_interval_s=NEVER_S, grace_period_s=20.0).model_copy(update=changes)
    group = FakeGroup(broker, settings.group, settings.input_topic)
    return FakeWorker(group, settings, session=session, tokenizer=tokenizer, clock=FakeClock(), flush_timeout_s=0.01)


def append(broker: FakeBroker, count: int) -> None:
    for number in range(count):
        broker.append(PARTITION, b'{"text": "review %d"}' % number)


def offsets_out(broker: FakeBroker) -> list[int]:
    return [int((dict(record.headers)["source"] or b"").rsplit(b"/", 1)[1]) for record in broker.records(OUTPUT)]


async def test_reviews_come_out_and_their_offsets_are_committed_when_asked(
    broker: FakeBroker, worker: FakeWorker
) -> None:
    append(broker, 50)
    await worker.start()
    await broker.until(lambda: len(broker.records(OUTPUT)) == 50)
    await until(lambda: worker.pipeline.task is not None and not worker.pipeline.task.in_flight)
    assert broker.committed("reviews-worker") == {}
    await worker.pipeline.commit()
    assert broker.committed("reviews-worker") == {PARTITION: 50}
    await worker.pipeline.commit()  # nothing new: no word to the broker
    assert worker.metrics.registry.get_sample_value("reviews_worker_commits_total", {"outcome": "stored"}) == 1


async def test_holes_in_the_offsets_are_stepped_over(broker: FakeBroker, worker: FakeWorker) -> None:
    append(broker, 30)
    broker.skip_offsets(PARTITION, 3)
    append(broker, 10)
    broker.compact(PARTITION, [0, 1, 7, 8, 29])
    await worker.start()
    await broker.until(lambda: len(broker.records(OUTPUT)) == 35)
    assert await worker.stop() == 0
    assert offsets_out(broker) == [record.offset for record in broker.records(PARTITION)]
    assert broker.committed("reviews-worker") == {PARTITION: 43}


async def test_records_that_come_before_their_assignment_wait_for_it(broker: FakeBroker, worker: FakeWorker) -> None:
    worker.pipeline.start()
    waiting = asyncio.create_task(worker.pipeline.intake(make_chunk([4, 5, 6], value=b'{"text": "good"}')))
    await asyncio.sleep(0)
    assert not waiting.done()
    worker.pipeline.assigned(1, {PARTITION: 5})
    await waiting
    await broker.until(lambda: len(broker.records(OUTPUT)) == 2)
    assert offsets_out(broker) == [5, 6]


async def test_records_of_an_assignment_that_is_over_are_dropped(broker: FakeBroker, worker: FakeWorker) -> None:
    worker.pipeline.start()
    worker.pipeline.assigned(3, {PARTITION: 0})
    await worker.pipeline.intake(make_chunk([0, 1], generation=2, value=b'{"text": "good"}'))
    worker.pipeline.closed()
    await worker.pipeline.intake(make_chunk([0, 1], generation=3, value=b'{"text": "good"}'))
    assert worker.pipeline.task is not None
    assert worker.pipeline.task.in_flight == 0
    assert worker.metrics.registry.get_sample_value("reviews_worker_stale_events_total") == 4


async def test_intake_never_raises_and_a_missing_chunk_stops_the_worker(worker: FakeWorker) -> None:
    """Faust would start its agent again and read on."""
    worker.pipeline.start()
    worker.pipeline.assigned(1, {PARTITION: 0})
    await worker.pipeline.intake(make_chunk([7], follows=5))
    assert worker.pipeline.lifecycle.state is State.FAILED
    assert "records" in str(await worker.pipeline.failed)


async def test_a_chunk_of_a_partition_that_is_not_ours_stops_the_worker(worker: FakeWorker) -> None:
    worker.pipeline.start()
    worker.pipeline.assigned(1, {})
    await worker.pipeline.intake(make_chunk([0]))
    assert worker.pipeline.lifecycle.state is State.FAILED


async def test_after_a_failure_intake_drops_what_comes(worker: FakeWorker) -> None:
    worker.pipeline.start()
    worker.pipeline.assigned(1, {PARTITION: 0})
    worker.pipeline.fail(RuntimeError("first"))
    worker.pipeline.fail(RuntimeError("second"))
    await worker.pipeline.intake(make_chunk([0]))
    assert worker.pipeline.task is not None
    assert worker.pipeline.task.in_flight == 0
    assert str(await worker.pipeline.failed) == "first"


async def test_a_next_batch_waits_behind_the_running_one(
    broker: FakeBroker, session: FakeSession, worker: FakeWorker
) -> None:
    session.hold()
    append(broker, 200)
    await worker.start()
    await asyncio.to_thread(session.wait_for_calls, 1)
    # Full batches have 16 reviews: one is computed, one waits for the session, and the others for their turn.
    await until(lambda: worker.metrics.registry.get_sample_value("reviews_worker_queue_reviews") == 200 - 2 * 16)
    assert len(session.shapes) == 1
    session.release()
    await broker.until(lambda: len(broker.records(OUTPUT)) == 200)
    assert offsets_out(broker) == list(range(200))


async def test_outputs_are_published_while_the_session_computes(
    broker: FakeBroker, session: FakeSession, worker: FakeWorker
) -> None:
    session.hold()
    append(broker, 48)
    await worker.start()
    for batches in (1, 2):
        session.permit()
        await broker.until(lambda: len(broker.records(OUTPUT)) >= 1)
        await asyncio.to_thread(session.wait_for_calls, batches + 1)
    session.release()
    await broker.until(lambda: len(broker.records(OUTPUT)) == 48)


async def test_what_is_computed_for_an_old_assignment_is_not_published(
    broker: FakeBroker, session: FakeSession, worker: FakeWorker
) -> None:
    session.hold()
    append(broker, 10)
    await worker.start()
    await asyncio.to_thread(session.wait_for_calls, 1)
    await worker._group.rebalance()
    session.release()
    await broker.until(lambda: len(broker.records(OUTPUT)) >= 10)
    assert await worker.stop() == 0
    assert offsets_out(broker) == list(range(10))


async def test_outputs_without_an_acknowledgement_are_published_again_by_the_next_assignment(
    broker: FakeBroker, worker: FakeWorker
) -> None:
    worker.publisher.hold_acknowledgements()
    append(broker, 10)
    await worker.start()
    await broker.until(lambda: len(broker.records(OUTPUT)) >= 1)
    await worker._group.rebalance()
    assert broker.committed("reviews-worker") == {}
    worker.publisher.release()
    await broker.until(lambda: offsets_out(broker) == [*range(10), *range(10)])
    assert await worker.stop() == 0
    assert broker.committed("reviews-worker") == {PARTITION: 10}


async def test_chunks_that_are_read_again_come_out_once(broker: FakeBroker, worker: FakeWorker) -> None:
    append(broker, 40)
    await worker.start()
    await broker.until(lambda: len(broker.records(OUTPUT)) == 40)
    worker.member.seek(PARTITION, 10)
    append(broker, 5)
    await broker.until(lambda: len(broker.records(OUTPUT)) >= 45)
    assert await worker.stop() == 0
    assert worker.member.delivered == 40 + 35
    assert offsets_out(broker) == list(range(45))


SHORT_MODEL = {"overflow": "windows", "window_overlap_tokens": 4, "max_windows": 8}
LONG_TEXT = " ".join(["good"] * 40)


@pytest.fixture
def short_tokenizer() -> Tokenizer:
    """For a model that reads so little that a sentence takes several windows."""
    return Tokenizer(BUNDLED_PATH / PIECES, max_length=16, lower_case=True)


async def test_windows_share_batches_with_other_reviews_and_the_review_comes_out_once_in_its_place(
    broker: FakeBroker, session: FakeSession, short_tokenizer: Tokenizer
) -> None:
    worker = build(broker, session, short_tokenizer, **SHORT_MODEL)
    append(broker, 5)
    broker.append(PARTITION, json.dumps({"text": LONG_TEXT}).encode())
    append(broker, 5)
    await worker.start()
    await broker.until(lambda: len(broker.records(OUTPUT)) == 11)
    assert await worker.stop() == 0
    assert offsets_out(broker) == list(range(11))
    result = json.loads(broker.records(OUTPUT)[5].value or b"")["sentiment"]
    encoding = short_tokenizer.with_overflow(worker._settings.reading).encode(LONG_TEXT)
    expected = session.expected(encoding)
    assert list(result["scores"].values()) == [round(score, 6) for score in expected.scores]
    assert result["windows"] == len(encoding.windows) == 4
    assert sum(rows for rows, _ in session.shapes) == 10 + 4
    assert len(session.shapes) < 5, "windows and short reviews are computed together"


async def test_a_review_with_windows_on_both_sides_of_a_batch_waits_for_the_last_of_them(
    broker: FakeBroker, session: FakeSession, short_tokenizer: Tokenizer
) -> None:
    worker = build(broker, session, short_tokenizer, **SHORT_MODEL, max_batch_reviews=1)
    broker.append(PARTITION, json.dumps({"text": LONG_TEXT}).encode())
    append(broker, 1)
    session.hold()
    await worker.start()
    for windows in range(1, 4):
        session.permit()
        await asyncio.to_thread(session.wait_for_calls, windows + 1)
        assert broker.records(OUTPUT) == []
    session.release()
    await broker.until(lambda: len(broker.records(OUTPUT)) == 2)
    assert await worker.stop() == 0
    assert offsets_out(broker) == [0, 1]
    assert broker.committed("reviews-worker") == {PARTITION: 2}


async def test_windows_of_an_assignment_that_is_over_do_not_count_for_the_next(
    broker: FakeBroker, session: FakeSession, short_tokenizer: Tokenizer
) -> None:
    worker = build(broker, session, short_tokenizer, **SHORT_MODEL, max_batch_reviews=1)
    broker.append(PARTITION, json.dumps({"text": LONG_TEXT}).encode())
    session.hold()
    await worker.start()
    session.permit(2)
    await asyncio.to_thread(session.wait_for_calls, 3)
    await worker._group.rebalance()
    session.release()
    await broker.until(lambda: len(broker.records(OUTPUT)) == 1)
    assert await worker.stop() == 0
    assert len(session.shapes) >= 3 + 4
    assert offsets_out(broker) == [0]
    assert broker.committed("reviews-worker") == {PARTITION: 1}


async def test_a_commit_that_fails_is_made_later(broker: FakeBroker, worker: FakeWorker) -> None:
    append(broker, 10)
    await worker.start()
    await until(lambda: worker.pipeline.task is not None and bool(worker.pipeline.task.prepare_commit()))
    await broker.until(lambda: len(broker.records(OUTPUT)) == 10)
    broker.go_away()
    with pytest.raises(BrokerError):
        await worker.pipeline.commit()
    broker.come_back()
    await worker.pipeline.commit()
    assert broker.committed("reviews-worker")[PARTITION] >= 1


async def test_a_worker_that_is_fenced_commits_nothing_more(broker: FakeBroker, worker: FakeWorker) -> None:
    append(broker, 10)
    await worker.start()
    await until(lambda: worker.pipeline.task is not None and bool(worker.pipeline.task.prepare_commit()))
    await worker._group.fence(worker.member)
    await worker.pipeline.commit()
    assert broker.committed("reviews-worker") == {}
    assert worker.metrics.registry.get_sample_value("reviews_worker_commits_total", {"outcome": "stale"}) == 1


async def test_outputs_that_cannot_be_published_stop_the_worker(broker: FakeBroker, worker: FakeWorker) -> None:
    worker.publisher.fail(DeliveryError("no rights"))
    append(broker, 10)
    with pytest.raises(DeliveryError, match="no rights"):
        await worker.run()
    assert broker.committed("reviews-worker") == {}
    assert broker.records(OUTPUT) == []


async def test_a_bug_in_a_session_stops_the_worker_with_that_error(
    broker: FakeBroker, session: FakeSession, tokenizer: Tokenizer
) -> None:
    class Buggy(FakeSession):
        def predict(self, ids, lengths):
            raise KeyError("a bug")

    append(broker, 10)
    with pytest.raises(KeyError, match="a bug"):
        await build(broker, Buggy(), tokenizer).run()
    assert broker.committed("reviews-worker") == {}


async def test_running_out_of_memory_counts_for_later_assignments_too(broker: FakeBroker, tokenizer: Tokenizer) -> None:
    session = FakeSession(max_tokens=40)
    worker = build(broker, session, tokenizer)
    append(broker, 60)
    await worker.start()
    await broker.until(lambda: len(broker.records(OUTPUT)) == 60)
    await worker._group.rebalance()
    seen = len(session.shapes)
    append(broker, 60)
    await broker.until(lambda: len(broker.records(OUTPUT)) >= 120)
    assert await worker.stop() == 0
    assert all(rows * length <= 40 for rows, length in session.shapes[seen:])


async def test_a_worker_that_is_stopped_before_anything_came_stops_at_once(worker: FakeWorker) -> None:
    worker.request_stop()
    assert await worker.run() is ExitCode.OK
    assert worker.pipeline.lifecycle.state is State.STOPPED
