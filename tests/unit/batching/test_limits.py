import pytest

from worker.batching import BatchLimits, ShapeLadder


@pytest.mark.parametrize("name", ["max_batch_tokens", "max_batch_reviews", "window_reviews"])
def test_a_limit_that_allows_nothing_is_refused(name):
    limits = {"max_batch_tokens": 1, "max_batch_reviews": 1, "window_reviews": 1, name: 0}
    with pytest.raises(ValueError, match="must be positive"):
        BatchLimits(**limits)


@pytest.mark.parametrize("name", ["linger_s", "max_wait_s"])
def test_a_time_below_zero_is_refused(name):
    with pytest.raises(ValueError, match="must not be negative"):
        BatchLimits(1, 1, 1, **{name: -0.1})


def test_the_ladder_must_hold_the_largest_batch():
    BatchLimits(1024, 4, 64, ladder=ShapeLadder((512,), (1, 4)))
    with pytest.raises(ValueError, match=r"last row rung \(4\)"):
        BatchLimits(1024, 5, 64, ladder=ShapeLadder((512,), (1, 4)))
