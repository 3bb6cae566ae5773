"""When standing still is right, and when it is not."""

from __future__ import annotations

import asyncio
import logging

import pytest
from aiokafka.errors import IllegalStateError, KafkaConnectionError
from pipeline_parts import PARTITION, HeldCollector, make_chunk, make_entries, make_task

from worker.clock import FakeClock
from worker.delivery.dead_letter_log import DeadLetterLog
from worker.faust_app.service import MISSING
from worker.faust_app.standing import MissingTopicError, Standing
from worker.faust_app.totals import Totals
from worker.faust_app.watch import Watch
from worker.logs import StateLog
from worker.metrics import Metrics
from worker.pipeline.progress import Progress
from worker.pipeline.stream_task import StreamTask
from worker.records import TOMBSTONE, TopicPartition

STALL_TIMEOUT_S = 120.0
REBALANCE_TIMEOUT_S = 30.0


class Source:
    """What the consumer says of its partitions."""

    def __init__(self) -> None:
        self.answer: dict[TopicPartition, Standing] | Exception = {}

    async def standing(self) -> dict[TopicPartition, Standing]:
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


class World:
    """A watch over one partition of a task."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.source = Source()
        self.metrics = Metrics()
        self.collector = HeldCollector()
        self.task: StreamTask | None = make_task(self.collector, start=10)
        self.progress = Progress(STALL_TIMEOUT_S, REBALANCE_TIMEOUT_S, start_timeout_s=0.0, started_at=0.0)
        self.progress.assigned(self.clock.monotonic())
        self.failures: list[BaseException] = []
        self.watch = Watch(
            source=lambda: self.source,
            task=lambda: self.task,
            progress=self.progress,
            broker=StateLog(logging.getLogger("worker"), "Kafka"),
            clock=self.clock,
            metrics=self.metrics,
            stacks=lambda: "thread main",
            on_failure=self.failures.append,
            newcomer=self._newcomer,
            totals=Totals(self.metrics, 60.0, self.clock),
            letters=DeadLetterLog(self.clock),
            topic=StateLog(logging.getLogger("worker"), "topic reviews.in", words=MISSING),
            transaction_patience_s=STALL_TIMEOUT_S,
        )
        self.newcomer_is_answered = False

    async def _newcomer(self, _: object) -> bool:
        return self.newcomer_is_answered

    def stands_at(self, position: int, end: int, delivered_until: int | None, open_from: int | None = None) -> None:
        self.source.answer = {PARTITION: Standing(position, end, delivered_until, open_from)}

    async def problem_after(self, seconds: float) -> str | None:
        """What the watchdog says after so long, with a look every second."""
        for _ in range(int(seconds)):
            self.clock.advance(1.0)
            await self.watch.look()
            await asyncio.sleep(0)  # what was begun beside it
        return self.progress.problem(self.clock.monotonic())

    def metric(self, name: str, **labels: str) -> float | None:
        return self.metrics.registry.get_sample_value(f"reviews_worker_{name}", labels)


@pytest.fixture
def world() -> World:
    return World()


def submit(world: World, offsets: list[int]) -> None:
    assert world.task is not None
    entries = make_entries(world.task.submit(make_chunk(offsets)))
    for entry in entries:
        entry.outcome = TOMBSTONE
    world.task.prepared(PARTITION, entries)


async def test_a_worker_at_the_end_may_stand_still_for_ever(world: World) -> None:
    world.stands_at(10, 10, None)
    assert await world.problem_after(1_000) is None


async def test_lag_that_nobody_reads_is_a_standstill(world: World) -> None:
    world.stands_at(10, 15, None)
    assert await world.problem_after(120) is None
    assert await world.problem_after(2) == "offsets have not advanced for 122 s although there is lag"


async def test_reviews_that_stay_in_flight_are_a_standstill(world: World) -> None:
    submit(world, [10, 11])
    world.stands_at(12, 12, 12)
    assert await world.problem_after(122)
    world.collector.acknowledge_all()
    assert await world.problem_after(1) is None


async def test_a_chunk_that_was_handed_over_and_never_arrived_is_a_standstill(world: World) -> None:
    world.stands_at(12, 12, 12)
    assert await world.problem_after(122)


async def test_what_lies_behind_damage_is_lag_and_no_standstill(world: World) -> None:
    world.source.answer = {PARTITION: Standing(12, 40, 12, damaged=12)}
    submit(world, [10, 11])
    world.collector.acknowledge_all()
    assert await world.problem_after(500) is None
    number = str(PARTITION.partition)
    assert world.metric("lag", partition=number) == 30
    assert world.metric("damaged_offset", partition=number) == 12
    assert world.metric("drain_seconds") == 0
    world.stands_at(12, 40, 12)
    await world.watch.look()
    assert world.metric("damaged_offset", partition=number) is None


async def test_what_is_in_flight_before_damage_must_still_move(world: World) -> None:
    submit(world, [10, 11])
    world.source.answer = {PARTITION: Standing(12, 40, 12, damaged=12)}
    assert await world.problem_after(122)


async def test_transaction_markers_at_the_end_are_no_lag(world: World) -> None:
    submit(world, [10, 11])
    world.collector.acknowledge_all()
    world.stands_at(15, 15, 12)
    assert await world.problem_after(500) is None


async def test_a_broker_that_is_away_is_no_standstill_of_ours(world: World, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    world.stands_at(10, 15, None)
    world.source.answer = KafkaConnectionError("away")
    assert await world.problem_after(500) is None
    assert world.metric("broker_up") == 0
    assert len(caplog.records) == 1
    world.stands_at(10, 15, None)
    assert await world.problem_after(1) is None
    assert world.metric("broker_up") == 1
    assert len(caplog.records) == 2


async def test_a_broker_that_answers_others_and_not_this_worker_is_a_problem_until_it_answers(world: World) -> None:
    world.stands_at(10, 10, None)
    answer, world.source.answer = world.source.answer, KafkaConnectionError("away")
    assert await world.problem_after(500) is None
    world.newcomer_is_answered = True
    problem = await world.problem_after(STALL_TIMEOUT_S + 15)
    assert problem is not None
    assert problem.startswith("the broker answers other clients, and has not answered this worker for 13")
    world.source.answer = answer
    assert await world.problem_after(1) is None


async def test_a_broker_that_goes_away_for_others_too_is_no_standstill_of_ours(world: World) -> None:
    world.stands_at(10, 10, None)
    world.source.answer = KafkaConnectionError("away")
    world.newcomer_is_answered = True
    assert await world.problem_after(STALL_TIMEOUT_S) is None
    world.newcomer_is_answered = False
    assert await world.problem_after(STALL_TIMEOUT_S) is None


async def test_an_assignment_that_ends_while_the_broker_is_asked_is_no_broker_that_is_away(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    world.stands_at(10, 15, None)
    await world.watch.look()
    world.source.answer = IllegalStateError("Partition is not assigned")
    await world.watch.look()
    assert world.metric("broker_up") == 1
    assert not caplog.records


async def test_a_consumer_that_does_not_answer_at_all_is_a_standstill(world: World) -> None:
    world.source.answer = TimeoutError()
    assert await world.problem_after(122)


async def test_a_standstill_is_told_once_when_it_begins_and_once_when_it_ends(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", logger="worker.faust_app.watch")
    world.stands_at(10, 15, None)
    await world.problem_after(200)
    world.stands_at(15, 15, None)
    await world.problem_after(5)
    messages = [record.message for record in caplog.records if record.name == "worker.faust_app.watch"]
    assert messages.pop(1) == "where everything stands:\nthread main"
    assert len(messages) == 2
    assert messages[0].startswith("no progress: offsets have not advanced")
    assert messages[1] == "progress again"


async def test_what_waits_for_a_transaction_is_lag_and_no_standstill(world: World) -> None:
    assert world.task is not None
    submit(world, [10, 11])
    world.collector.acknowledge_all()
    world.task.post_commit(world.task.prepare_commit())
    world.stands_at(14, 30, 12, open_from=14)  # 12 and 13 are markers
    assert await world.problem_after(1_000) is None
    assert world.metric("lag", partition="0") == 16
    assert world.metric("lag_in_transactions", partition="0") == 16
    assert world.metric("drain_seconds") == 0
    world.stands_at(30, 30, 12)
    await world.watch.look()
    assert world.metric("lag", partition="0") == world.metric("lag_in_transactions", partition="0") == 0


async def test_what_may_be_read_is_a_standstill_all_the_same(world: World) -> None:
    world.stands_at(10, 30, None, open_from=14)
    assert await world.problem_after(STALL_TIMEOUT_S + 2)
    assert world.metric("lag", partition="0") == 20
    assert world.metric("lag_in_transactions", partition="0") == 16


async def test_a_transaction_that_stays_open_is_told_once_and_its_end_too(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", logger="worker.faust_app.open_transactions")
    world.stands_at(14, 30, None, open_from=14)
    await world.problem_after(300)
    assert world.metric("open_transaction_seconds", partition="0") == 299
    world.stands_at(14, 40, None, open_from=14)
    await world.problem_after(300)
    world.stands_at(31, 40, None, open_from=31)  # the next one has just begun
    await world.problem_after(100)
    assert world.metric("open_transaction_seconds", partition="0") == 99
    first, end = (record.message for record in caplog.records)
    assert f"{PARTITION.topic}/0 that begins at offset 14 has been open for 121 s" in first
    assert end == f"the transaction in {PARTITION.topic}/0 from offset 14 has ended"


async def test_transactions_that_end_in_time_are_not_told(world: World, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", logger="worker.faust_app.open_transactions")
    for begins in range(14, 500, 2):
        world.stands_at(begins, begins + 1, None, open_from=begins)
        await world.problem_after(2)
    assert not caplog.records


async def test_a_missing_topic_is_no_broker_that_is_away_and_no_standstill(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", logger="worker")
    answer = world.source.answer
    world.source.answer = MissingTopicError("reviews.in")
    assert await world.problem_after(500) is None
    assert (world.metric("broker_up"), world.metric("topic_missing")) == (1, 1)
    world.source.answer = answer
    assert await world.problem_after(1) is None
    assert world.metric("topic_missing") == 0
    assert [record.message for record in caplog.records] == [
        "topic reviews.in is missing (the broker knows no such topic); nothing is read until it is created again",
        "topic reviews.in is there again",
    ]


async def test_the_lag_is_measured_from_the_committed_offset(world: World) -> None:
    assert world.task is not None
    submit(world, [10, 11])
    world.collector.acknowledge_all()
    world.stands_at(12, 20, 12)
    await world.watch.look()
    assert world.metric("lag", partition="0") == 10
    world.task.post_commit(world.task.prepare_commit())
    await world.watch.look()
    assert world.metric("lag", partition="0") == 8


async def test_transaction_markers_behind_what_is_done_are_no_lag(world: World) -> None:
    assert world.task is not None
    submit(world, [10, 11])
    world.stands_at(15, 15, 12)
    await world.watch.look()
    assert world.metric("lag", partition="0") == 5  # in flight
    world.collector.acknowledge_all()
    world.task.post_commit(world.task.prepare_commit())
    await world.watch.look()
    assert world.metric("lag", partition="0") == 0
    world.stands_at(15, 16, 12)
    await world.watch.look()
    assert world.metric("lag", partition="0") == 4


async def test_the_time_to_drain_is_the_lag_at_the_pace_of_the_commits(world: World) -> None:
    assert world.task is not None
    world.stands_at(10, 1_010, None)
    for first in range(10, 60, 5):
        await world.watch.look()
        submit(world, list(range(first, first + 5)))
        world.collector.acknowledge_all()
        world.task.post_commit(world.task.prepare_commit())
        world.stands_at(first + 5, 1_010, first + 5)
        world.clock.advance(1.0)
    await world.watch.look()
    assert world.metric("drain_seconds") == pytest.approx(950 / 5)


async def test_time_without_a_broker_does_not_slow_the_pace(world: World) -> None:
    assert world.task is not None
    world.stands_at(10, 110, None)
    await world.watch.look()
    submit(world, list(range(10, 20)))
    world.collector.acknowledge_all()
    world.task.post_commit(world.task.prepare_commit())
    world.stands_at(20, 110, 20)
    world.clock.advance(1.0)
    await world.watch.look()
    assert world.metric("drain_seconds") == pytest.approx(9)
    answer, world.source.answer = world.source.answer, KafkaConnectionError("away")
    await world.problem_after(600)
    world.source.answer = answer
    await world.watch.look()
    assert world.metric("drain_seconds") == pytest.approx(9)


@pytest.fixture(params=["none yet", "over"])
def unassigned(request: pytest.FixtureRequest, world: World) -> World:
    if request.param == "none yet":
        world.task = None
    else:
        assert world.task is not None
        world.task.close()
    world.progress.unassigned(world.clock.monotonic())
    world.source.answer = {}
    return world


async def test_without_an_assignment_a_broker_that_is_away_is_no_standstill_either(unassigned: World) -> None:
    unassigned.source.answer = KafkaConnectionError("away")
    assert await unassigned.problem_after(1_000) is None
    assert unassigned.metric("broker_up") == 0
    unassigned.source.answer = {}
    assert await unassigned.problem_after(1) is None
    assert unassigned.metric("broker_up") == 1


async def test_an_assignment_that_does_not_come_is_a_standstill_when_a_rebalance_has_had_its_time(
    unassigned: World,
) -> None:
    assert await unassigned.problem_after(STALL_TIMEOUT_S + REBALANCE_TIMEOUT_S) is None
    assert await unassigned.problem_after(2) == "no partitions have been assigned for 152 s"
    unassigned.progress.assigned(unassigned.clock.monotonic())
    assert await unassigned.problem_after(1) is None


async def test_it_looks_until_it_is_cancelled(world: World) -> None:
    running = asyncio.create_task(world.watch.run())
    await asyncio.sleep(0)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
