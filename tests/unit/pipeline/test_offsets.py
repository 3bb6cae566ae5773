import pytest

from worker.pipeline.offsets import OffsetTracker
from worker.records import TopicPartition

A = TopicPartition("reviews.in", 0)
B = TopicPartition("reviews.in", 1)
ELSEWHERE = TopicPartition("reviews.in", 7)


@pytest.fixture
def tracker() -> OffsetTracker:
    """Two partitions in generation 1."""
    tracker = OffsetTracker()
    tracker.assign([A, B], generation=1)
    return tracker


def test_nothing_is_committable_at_first(tracker):
    tracker.submit(A, [0, 1, 2], 1)
    assert tracker.committable_offsets() == {}


def test_the_committable_offset_is_the_next_one(tracker):
    tracker.submit(A, [5, 6, 7], 1)
    assert tracker.complete(A, [5, 6], 1)
    assert tracker.committable_offsets() == {A: 7}


def test_an_incomplete_offset_holds_back_all_behind_it(tracker):
    tracker.submit(A, [5, 6, 7], 1)
    tracker.complete(A, [7, 6], 1)
    assert tracker.committable_offsets() == {}
    tracker.complete(A, [5], 1)
    assert tracker.committable_offsets() == {A: 8}


def test_gaps_are_stepped_over(tracker):
    tracker.submit(A, [3, 10], 1)
    tracker.submit(A, [90], 1)
    tracker.complete(A, [3], 1)
    assert tracker.committable_offsets() == {A: 4}
    tracker.complete(A, [90, 10], 1)
    assert tracker.committable_offsets() == {A: 91}


def test_partitions_do_not_wait_for_each_other(tracker):
    tracker.submit(A, range(4), 1)
    tracker.submit(B, range(100, 104), 1)
    tracker.complete(B, range(100, 104), 1)
    assert tracker.committable_offsets() == {B: 104}


def test_what_is_committed_is_not_committable_again(tracker):
    tracker.submit(A, range(4), 1)
    tracker.complete(A, [0, 1], 1)
    assert tracker.mark_committed({A: 2}, 1)
    assert tracker.committable_offsets() == {}
    tracker.complete(A, [2], 1)
    assert tracker.committable_offsets() == {A: 3}


def test_a_late_answer_to_an_older_commit_lowers_nothing(tracker):
    tracker.submit(A, range(4), 1)
    tracker.complete(A, range(4), 1)
    tracker.mark_committed({A: 4}, 1)
    tracker.mark_committed({A: 2}, 1)
    assert tracker.committable_offsets() == {}


def test_in_flight_is_what_was_submitted_and_not_completed(tracker):
    tracker.submit(A, [0, 1, 5], 1)
    tracker.submit(B, [9], 1)
    tracker.complete(A, [1], 1)
    assert (tracker.in_flight(A), tracker.in_flight(B), tracker.in_flight(ELSEWHERE)) == (2, 1, 0)
    assert tracker.in_flight() == 3


def test_empty_groups_change_nothing(tracker):
    assert tracker.submit(A, [], 1)
    assert tracker.complete(A, [], 1)
    assert tracker.committable_offsets() == {}


def test_a_new_assignment_forgets_everything(tracker):
    tracker.submit(A, [0, 1], 1)
    tracker.complete(A, [0], 1)
    tracker.assign([A], generation=2)
    assert tracker.generation == 2
    assert tracker.in_flight() == 0
    assert tracker.committable_offsets() == {}
    tracker.submit(A, [0, 1], 2)
    tracker.complete(A, [0], 2)
    assert tracker.committable_offsets() == {A: 1}


def test_what_comes_late_from_an_old_generation_is_dropped(tracker):
    tracker.submit(A, [0, 1], 1)
    tracker.assign([A], generation=2)
    tracker.submit(A, [0, 1], 2)
    assert not tracker.submit(A, [2], 1)
    assert not tracker.complete(A, [0, 1], 1)
    assert not tracker.complete(ELSEWHERE, [77], 1)
    assert not tracker.mark_committed({A: 2}, 1)
    assert tracker.in_flight(A) == 2
    tracker.complete(A, [0, 1], 2)
    assert tracker.committable_offsets() == {A: 2}


def test_a_revoked_partition_is_dropped_and_the_others_go_on(tracker):
    tracker.submit(A, [0], 1)
    tracker.submit(B, [0], 1)
    tracker.complete(A, [0], 1)
    tracker.revoke([A, ELSEWHERE])
    assert not tracker.submit(A, [1], 1)
    assert not tracker.complete(A, [0], 1)
    assert tracker.mark_committed({A: 1}, 1)
    assert tracker.complete(B, [0], 1)
    assert tracker.committable_offsets() == {B: 1}
    assert tracker.in_flight() == 0


@pytest.mark.parametrize("offsets", [[2, 1], [1, 1], [0], [4, 3]])
def test_offsets_that_do_not_ascend_are_a_bug(tracker, offsets):
    tracker.submit(A, [0], 1)
    with pytest.raises(ValueError, match="This is a bug: offsets submitted twice or out of order"):
        tracker.submit(A, offsets, 1)
    assert tracker.in_flight(A) == 1


@pytest.mark.parametrize("offsets", [[0], [1, 7], [2, 2], [6]])
def test_completing_what_is_not_in_flight_is_a_bug_and_changes_nothing(tracker, offsets):
    tracker.submit(A, [0, 1, 2], 1)
    tracker.complete(A, [0], 1)
    with pytest.raises(ValueError, match="This is a bug: completed without being in flight"):
        tracker.complete(A, offsets, 1)
    assert tracker.in_flight(A) == 2
    assert tracker.committable_offsets() == {A: 1}


def test_committing_what_was_not_committable_is_a_bug(tracker):
    tracker.submit(A, [0, 1], 1)
    tracker.complete(A, [0], 1)
    with pytest.raises(ValueError, match="This is a bug"):
        tracker.mark_committed({A: 2}, 1)


def test_a_partition_that_was_never_assigned_is_a_bug(tracker):
    with pytest.raises(ValueError, match="is not assigned in generation 1"):
        tracker.submit(ELSEWHERE, [0], 1)
    with pytest.raises(ValueError, match="is not assigned in generation 1"):
        tracker.complete(ELSEWHERE, [0], 1)
    with pytest.raises(ValueError, match="is not assigned in generation 1"):
        tracker.mark_committed({ELSEWHERE: 1}, 1)


def test_a_generation_from_the_future_is_a_bug(tracker):
    with pytest.raises(ValueError, match="generation 2 is not assigned yet"):
        tracker.submit(A, [0], 2)


@pytest.mark.parametrize("generation", [0, 1])
def test_generations_grow(tracker, generation):
    with pytest.raises(ValueError, match="This is a bug: generation"):
        tracker.assign([A], generation)
