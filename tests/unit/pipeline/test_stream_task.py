"""One assignment: order, offsets and bounds, whatever order entries complete in."""

from __future__ import annotations

import pytest
from pipeline_parts import PARTITION, HeldCollector, make_chunk, make_entries, make_task

from worker.errors import FuseError
from worker.observability.metrics import Metrics
from worker.pipeline.stream_task import StreamTask
from worker.records import TOMBSTONE, Entry


def submitted(task: StreamTask, offsets: list[int]) -> list[Entry]:
    entries = make_entries(task.submit(make_chunk(offsets)))
    task.prepared(PARTITION, entries)
    return entries


def complete(task: StreamTask, *entries: Entry) -> None:
    for entry in entries:
        entry.outcome = TOMBSTONE
    task.completed()


def test_entries_are_released_in_input_order_whatever_order_they_complete_in() -> None:
    collector = HeldCollector()
    task = make_task(collector)
    first, second, third = submitted(task, [0, 1, 2])
    complete(task, third)
    complete(task, second)
    assert collector.offsets() == []
    complete(task, first)
    assert collector.offsets() == [0, 1, 2]


def test_what_has_its_outcome_when_it_is_prepared_is_released_in_its_place() -> None:
    collector = HeldCollector()
    task = make_task(collector)
    entries = make_entries(task.submit(make_chunk([0, 1, 2])))
    entries[0].outcome = entries[2].outcome = TOMBSTONE
    task.prepared(PARTITION, entries)
    assert collector.offsets() == [0]
    complete(task, entries[1])
    assert collector.offsets() == [0, 1, 2]


def test_an_offset_may_be_committed_when_its_output_is_acknowledged_and_not_before() -> None:
    collector = HeldCollector()
    task = make_task(collector)
    entries = submitted(task, [0, 1, 2])
    complete(task, *entries[:2])
    assert task.prepare_commit() == {}
    collector.acknowledge_all()
    assert task.prepare_commit() == {PARTITION: 2}
    task.post_commit({PARTITION: 2})
    assert task.prepare_commit() == {}
    assert task.in_flight == 1


def test_records_below_the_committed_offset_are_dropped() -> None:
    task = make_task(HeldCollector(), start=5)
    assert [record.offset for record in task.submit(make_chunk([3, 4, 5, 6]))] == [5, 6]
    assert task.in_flight == 2


def test_a_chunk_that_is_read_again_is_dropped_as_far_as_it_is_known() -> None:
    task = make_task(HeldCollector())
    task.submit(make_chunk([0, 1, 2]))
    assert task.submit(make_chunk([0, 1], follows=0)) == []
    assert [record.offset for record in task.submit(make_chunk([2, 3], follows=2))] == [3]
    assert task.in_flight == 4


def test_a_hole_in_the_offsets_is_no_loss() -> None:
    collector = HeldCollector()
    task = make_task(collector)
    complete(task, *submitted(task, [0, 1]))
    entries = make_entries(task.submit(make_chunk([7, 9], follows=2)))
    task.prepared(PARTITION, entries)
    complete(task, *entries)
    collector.acknowledge_all()
    assert task.prepare_commit() == {PARTITION: 10}


@pytest.mark.parametrize(("start", "follows"), [(0, 1), (None, 0), (5, 6)])
def test_a_chunk_whose_predecessor_is_missing_is_refused(start: int | None, follows: int) -> None:
    task = make_task(HeldCollector(), start)
    with pytest.raises(RuntimeError, match=r"records of .* are missing"):
        task.submit(make_chunk([10], follows))
    assert task.in_flight == 0


def test_a_closed_task_publishes_and_commits_nothing_more() -> None:
    collector, metrics = HeldCollector(), Metrics()
    task = make_task(collector, metrics=metrics)
    entries = submitted(task, [0, 1, 2])
    complete(task, entries[0])
    collector.acknowledge_all()
    assert task.prepare_commit() == {PARTITION: 1}
    task.close()
    task.close()
    complete(task, *entries[1:])
    collector.acknowledge_all()
    assert collector.offsets() == []
    assert task.prepare_commit() == {}
    assert task.in_flight == 0
    assert metrics.registry.get_sample_value("reviews_worker_in_flight_reviews") == 0
    assert metrics.registry.get_sample_value("reviews_worker_in_flight_bytes") == 0


def test_nothing_overtakes_what_could_not_be_sent() -> None:
    collector = HeldCollector()
    task = make_task(collector)
    entries = submitted(task, [0, 1, 2, 3])
    collector.error = FuseError("blown")
    with pytest.raises(FuseError):
        complete(task, entries[0])
    collector.error = None
    complete(task, *entries[1:])
    assert collector.offsets() == []
    assert task.in_flight == 4
