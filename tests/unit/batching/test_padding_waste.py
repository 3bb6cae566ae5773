"""What the queue must reach under backlog: at most a twentieth of the computed tokens is padding."""

import pytest
from absent import Absent
from entries import make_entry
from review_lengths import REVIEWS, lognormal_lengths, word_lengths

from worker.batching import Batch, BatchLimits, BatchQueue, ShapeLadder

MOST_WASTE = 0.05

# Padded tokens, reviews, window: about sixteen batches wait.
BACKLOGS = [(1024, 32, 64), (16_384, 256, 1024), (32_768, 256, 2048), (65_536, 512, 4096)]


def batches_under_backlog(lengths: list[int], limits: BatchLimits) -> list[Batch]:
    """Cut batches of one partition with an endless lag.

    Outputs leave in input order, so everything behind the oldest waiting review is in flight; that is limited to two
    windows, and intake stops there.
    """
    queue, batches, computed, oldest = BatchQueue(limits), [], set(), 0
    for index, length in enumerate(lengths):
        queue.append(make_entry(length, arrived_at=float(index), offset=index))
        while len(queue) >= limits.window_reviews or index - oldest >= 2 * limits.window_reviews:
            batch = queue.next_batch(0.0)
            batches.append(batch)
            computed.update(entry.record.offset for entry in batch.parts)
            while oldest in computed:
                oldest += 1
    return batches


def padding_waste(batches: list[Batch]) -> float:
    return 1 - sum(batch.real_tokens for batch in batches) / sum(batch.padded_tokens for batch in batches)


def fill(batches: list[Batch], limits: BatchLimits) -> float:
    """How much of the budget the batches use, in the mean."""
    return sum(batch.padded_tokens for batch in batches) / (limits.max_batch_tokens * len(batches))


@pytest.mark.parametrize(("tokens", "reviews", "window"), BACKLOGS)
def test_little_is_wasted_and_batches_are_full(tokens, reviews, window):
    limits = BatchLimits(tokens, reviews, window)
    batches = batches_under_backlog(lognormal_lengths(3 * window + 2000), limits)
    assert padding_waste(batches) <= MOST_WASTE
    assert fill(batches, limits) >= 0.8


# About 32 batches wait: rounding to the ladder alone costs 3 %.
@pytest.mark.parametrize(("tokens", "reviews", "window"), [(16_384, 256, 2048), (32_768, 256, 4096)])
def test_little_is_wasted_on_the_few_shapes_of_a_gpu(tokens, reviews, window):
    limits = BatchLimits(tokens, reviews, window, ladder=ShapeLadder.up_to(512, reviews))
    batches = batches_under_backlog(lognormal_lengths(3 * window + 2000), limits)
    assert padding_waste(batches) <= MOST_WASTE
    assert fill(batches, limits) >= 0.8
    assert len({(batch.rows, batch.length) for batch in batches}) <= 96


@Absent.SHARED.unless(REVIEWS.exists(), "real reviews")
@pytest.mark.parametrize(("tokens", "reviews", "window"), BACKLOGS[:3])
def test_little_is_wasted_on_real_reviews(tokens, reviews, window):
    batches = batches_under_backlog(word_lengths(3 * window + 2000), BatchLimits(tokens, reviews, window))
    assert padding_waste(batches) <= MOST_WASTE


def test_a_cpu_is_not_given_padding_for_company():
    limits = BatchLimits(1024, 32, 64)
    queue = BatchQueue(limits)
    queue.extend([make_entry(length) for length in (20, 120, 500)])
    assert [queue.next_batch(0.0).padding_waste for _ in range(3)] == [0.0, 0.0, 0.0]
