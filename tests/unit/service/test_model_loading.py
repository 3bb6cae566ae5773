"""Which batch limits a worker has."""

from __future__ import annotations

import pytest

from worker.errors import ExitCode, UsageError
from worker.observability.metrics import Metrics
from worker.service.model_loading import (
    CPU_BATCH_REVIEWS,
    CPU_BATCH_TOKENS,
    GPU_BATCH_REVIEWS,
    GPU_BATCH_TOKENS,
    WINDOW_BATCHES,
    batch_limits,
    load_model,
)
from worker.settings import Settings
from worker.tokenization.overflow import Overflow

MAX_LENGTH = 512


def test_a_cpu_gets_small_batches_of_any_shape() -> None:
    limits = batch_limits(Settings(), "cpu", MAX_LENGTH)
    assert (limits.max_batch_tokens, limits.max_batch_reviews) == (CPU_BATCH_TOKENS, CPU_BATCH_REVIEWS)
    assert limits.window_reviews == WINDOW_BATCHES * CPU_BATCH_REVIEWS
    assert limits.ladder is None


def test_a_gpu_gets_large_batches_of_few_shapes() -> None:
    limits = batch_limits(Settings(), "cuda", MAX_LENGTH)
    assert (limits.max_batch_tokens, limits.max_batch_reviews) == (GPU_BATCH_TOKENS, GPU_BATCH_REVIEWS)
    assert limits.ladder is not None
    assert limits.ladder.rows[-1] >= GPU_BATCH_REVIEWS
    assert limits.ladder.round_length(MAX_LENGTH) == MAX_LENGTH


@pytest.mark.parametrize("provider", ["cpu", "cuda"])
def test_what_the_operator_chose_counts(provider: str) -> None:
    settings = Settings(
        max_batch_tokens=4096, max_batch_reviews=7, batch_window_reviews=100, linger_s=0.5, max_wait_s=2.0
    )
    limits = batch_limits(settings, provider, MAX_LENGTH)
    assert (limits.max_batch_tokens, limits.max_batch_reviews, limits.window_reviews) == (4096, 7, 100)
    assert (limits.linger_s, limits.max_wait_s) == (0.5, 2.0)


def test_the_window_is_at_least_eight_batches_where_so_much_may_be_in_flight() -> None:
    assert WINDOW_BATCHES >= 8
    limits = batch_limits(Settings(max_in_flight_reviews=50), "cpu", MAX_LENGTH)
    assert limits.window_reviews == 50


def test_a_batch_that_cannot_hold_one_review_is_refused_with_the_remedy() -> None:
    with pytest.raises(UsageError, match=r"max_batch_tokens is 511, .* set it to 512 or more") as caught:
        batch_limits(Settings(max_batch_tokens=511), "cpu", MAX_LENGTH)
    assert caught.value.exit_code is ExitCode.USAGE
    assert batch_limits(Settings(max_batch_tokens=512), "cpu", MAX_LENGTH).max_batch_tokens == 512


def test_long_reviews_are_read_as_the_settings_say_and_what_does_not_fit_the_model_is_refused() -> None:
    settings = Settings(provider="cpu", overflow="windows", window_overlap_tokens=100, max_windows=3)
    model = load_model(settings, Metrics())
    assert model.tokenizer.overflow == Overflow("windows", 100, 3)
    with pytest.raises(UsageError, match=r"window_overlap_tokens is 510, .* set it to 509 or less"):
        load_model(settings.model_copy(update={"window_overlap_tokens": 510}), Metrics())
