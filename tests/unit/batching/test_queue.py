import pytest
from entries import lengths_of, make_entry, make_windows

from worker.batching import BatchLimits, BatchQueue, ShapeLadder


def make_queue(*lengths: int, tokens: int = 1024, reviews: int = 64, window: int = 64, **limits) -> BatchQueue:
    """A queue in which entries of these lengths wait, one a second old than the other: offset 0 is the oldest."""
    queue = BatchQueue(BatchLimits(tokens, reviews, window, **limits))
    queue.extend(make_entry(length, arrived_at=float(index), offset=index) for index, length in enumerate(lengths))
    return queue


def offsets_of(batch) -> list[int]:
    return sorted(entry.record.offset for entry in batch.parts)


def test_an_empty_queue_has_no_batch():
    queue = make_queue()
    assert queue.next_batch(0.0) is None
    assert queue.next_batch(0.0, drain=True) is None
    assert queue.ready_at(0.0) is None


def test_without_linger_whatever_waits_is_cut_at_once():
    queue = make_queue(100)
    assert queue.ready_at(7.0) == 7.0
    assert offsets_of(queue.next_batch(0.0)) == [0]
    assert len(queue) == 0


def test_a_batch_is_cut_around_the_oldest():
    queue = make_queue(100, 300, 101, 299, 99)
    assert offsets_of(queue.next_batch(9.0)) == [0, 2, 4]
    assert offsets_of(queue.next_batch(9.0)) == [1, 3]


def test_the_age_of_the_event_counts():
    queue = make_queue(100, 300, 101)
    queue.append(make_entry(299, arrived_at=4.0, waiting_since=-60.0, offset=9))
    assert offsets_of(queue.next_batch(4.0)) == [1, 9]


def test_of_one_length_the_oldest_go_first_longest_first():
    queue = make_queue(50, 50, 51, 50, 51, tokens=150)
    assert [entry.record.offset for entry in queue.next_batch(0.0).parts] == [0, 1, 3]


def test_a_batch_starts_with_its_longest():
    assert lengths_of(make_queue(98, 100, 99).next_batch(0.0).parts) == [100, 99, 98]


def test_the_padded_cost_stays_within_the_budget():
    queue = make_queue(*[100] * 30, tokens=1024)
    assert [len(queue.next_batch(0.0).parts) for _ in range(3)] == [10, 10, 10]


def test_only_the_oldest_within_the_window_are_grouped():
    queue = make_queue(100, 300, 100, 100, window=2)
    assert offsets_of(queue.next_batch(0.0)) == [0]
    assert offsets_of(queue.next_batch(0.0)) == [1]
    assert offsets_of(queue.next_batch(0.0)) == [2, 3]


def test_an_old_event_is_next_although_the_window_is_full():
    queue = make_queue(100, 100, 300, window=2)
    queue.append(make_entry(300, arrived_at=3.0, waiting_since=-1.0, offset=9))
    assert offsets_of(queue.next_batch(3.0)) == [9]
    assert offsets_of(queue.next_batch(3.0)) == [0, 1]


def test_once_overdue_the_first_arrival_takes_every_second_turn():
    queue = make_queue(10, 10, max_wait_s=5.0, reviews=1)
    for index in range(4):
        queue.append(make_entry(400, arrived_at=6.0, waiting_since=-100.0 + index, offset=10 + index))
    turns = [offsets_of(queue.next_batch(7.0))[0] for _ in range(6)]
    assert turns == [0, 10, 1, 11, 12, 13]


def test_a_first_arrival_beyond_the_window_takes_its_turn_too():
    queue = BatchQueue(BatchLimits(1024, 1, window_reviews=1, max_wait_s=5.0))
    queue.append(make_entry(30, arrived_at=0.0, waiting_since=-10.0, offset=0))
    queue.append(make_entry(20, arrived_at=0.0, offset=1))
    queue.append(make_entry(30, arrived_at=4.0, waiting_since=-9.0, offset=2))
    queue.append(make_entry(30, arrived_at=4.0, waiting_since=-8.0, offset=3))
    assert [offsets_of(queue.next_batch(6.0))[0] for _ in range(4)] == [0, 2, 1, 3]


def test_an_entry_waits_for_company_while_the_linger_lasts():
    queue = make_queue(100, linger_s=2.0)
    assert queue.next_batch(1.5) is None
    assert queue.ready_at(1.5) == 2.0
    assert offsets_of(queue.next_batch(2.0)) == [0]


def test_the_linger_counts_from_the_arrival_of_the_first():
    queue = make_queue(100, 300, linger_s=2.0)
    assert queue.ready_at(1.0) == 2.0
    queue.next_batch(2.0)
    assert queue.ready_at(2.0) == 3.0


def test_a_past_time_is_never_answered():
    assert make_queue(100, linger_s=2.0).ready_at(50.0) == 50.0


@pytest.mark.parametrize("lengths", [[512, 512], [100] * 4])
def test_a_full_batch_does_not_linger(lengths):
    queue = make_queue(*lengths, tokens=1024, reviews=4, linger_s=2.0)
    assert queue.ready_at(0.0) == 0.0
    assert offsets_of(queue.next_batch(0.0)) == list(range(len(lengths)))


def test_a_full_batch_is_one_of_reviews_or_of_tokens():
    assert make_queue(512, 512, tokens=1024).has_full_batch
    assert make_queue(1, 1, 1, reviews=3).has_full_batch
    assert not make_queue(512, 511, tokens=1024, reviews=3).has_full_batch
    assert not make_queue().has_full_batch


def test_an_old_event_does_not_linger():
    queue = BatchQueue(BatchLimits(1024, 64, 64, linger_s=2.0, max_wait_s=5.0))
    queue.append(make_entry(100, arrived_at=10.0, waiting_since=6.0))
    assert queue.ready_at(10.0) == 11.0
    assert queue.next_batch(10.9) is None
    assert queue.next_batch(11.0) is not None


def test_a_drain_does_not_linger():
    queue = make_queue(100, linger_s=2.0)
    assert offsets_of(queue.next_batch(0.0, drain=True)) == [0]


def test_a_lowered_budget_makes_smaller_batches_and_can_be_raised_again():
    queue = make_queue(*[100] * 12, tokens=400)
    queue.limit_tokens(200)
    assert len(queue.next_batch(0.0).parts) == 2
    queue.limit_tokens(10_000)
    assert len(queue.next_batch(0.0).parts) == 4


def test_an_entry_larger_than_a_lowered_budget_is_cut_alone():
    queue = make_queue(300, 300, tokens=600)
    queue.limit_tokens(150)
    assert offsets_of(queue.next_batch(0.0)) == [0]
    queue.append(make_entry(300))
    assert len(queue) == 2


@pytest.mark.parametrize("max_batch_tokens", [0, -1])
def test_a_budget_below_one_is_refused(max_batch_tokens):
    with pytest.raises(ValueError, match="must be positive"):
        make_queue().limit_tokens(max_batch_tokens)


def test_an_entry_larger_than_the_budget_is_a_bug_that_names_the_record():
    queue = make_queue(tokens=100)
    with pytest.raises(ValueError, match=r"This is a bug: reviews\.in/0/5 costs 101 tokens"):
        queue.append(make_entry(101, offset=5))
    assert len(queue) == 0


def test_the_budget_counts_after_rounding_to_the_ladder():
    queue = BatchQueue(BatchLimits(100, 2, 64, ladder=ShapeLadder(lengths=(64, 128), rows=(1, 2))))
    queue.append(make_entry(64))
    with pytest.raises(ValueError, match="costs 128 tokens"):
        queue.append(make_entry(65))


def test_an_entry_without_an_encoding_is_a_bug():
    with pytest.raises(ValueError, match="This is a bug"):
        make_queue().append(make_entry(None))


def test_a_faulty_entry_does_not_take_those_before_it_down():
    queue = make_queue()
    with pytest.raises(ValueError, match="This is a bug"):
        queue.extend([make_entry(10), make_entry(None), make_entry(10)])
    assert len(queue) == 1


def test_a_cleared_queue_starts_afresh():
    queue = make_queue(*[100] * 30, tokens=400, window=8, linger_s=1.0)
    queue.next_batch(0.0)
    queue.clear()
    assert len(queue) == 0
    assert queue.next_batch(99.0, drain=True) is None
    queue.append(make_entry(100, arrived_at=99.0, offset=1))
    assert queue.ready_at(99.0) == 100.0
    assert offsets_of(queue.next_batch(100.0)) == [1]


def test_windows_of_one_review_are_cut_where_each_fits():
    queue = make_queue(100, 50)
    queue.extend(make_windows(101, 51, arrived_at=2.0, offset=7))
    assert len(queue) == 4
    first = queue.next_batch(9.0)
    assert lengths_of(first.parts) == [101, 100]
    assert lengths_of(queue.next_batch(9.0).parts) == [51, 50]


def test_windows_have_the_age_of_their_review():
    queue = make_queue(100, linger_s=2.0, max_wait_s=5.0)
    queue.extend(make_windows(300, 301, arrived_at=1.0, waiting_since=-60.0, offset=9))
    assert queue.ready_at(1.0) == 1.0
    assert offsets_of(queue.next_batch(1.0)) == [9, 9]
