"""Logits to probabilities."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.errors import InferenceError
from worker.inference.calibration import Calibration
from worker.inference.scores import pooled, prediction_of, probabilities
from worker.records import Encoding


@given(st.lists(st.lists(st.floats(-(2.0**126), 2.0**126, width=32), min_size=3, max_size=3), min_size=1, max_size=5))
def test_each_row_is_a_distribution_whatever_the_logits(rows: list[list[float]]) -> None:
    logits = np.array(rows, dtype=np.float32)
    scores = probabilities(logits)
    assert scores.dtype == np.float32
    assert (scores >= 0).all()
    np.testing.assert_allclose(scores.sum(axis=1), 1, rtol=1e-5)
    largest = np.take_along_axis(scores, logits.argmax(axis=1)[:, None], axis=1)[:, 0]
    assert (largest == scores.max(axis=1)).all()


def test_half_precision_logits_give_float32_probabilities() -> None:
    assert probabilities(np.array([[60_000, -60_000]], dtype=np.float16)).tolist() == [[1.0, 0.0]]


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_logit_that_is_not_finite_is_an_inference_error(bad: float) -> None:
    with pytest.raises(InferenceError, match="not finite"):
        probabilities(np.array([[0.0, 1.0], [bad, 1.0]]))


def test_a_temperature_above_one_makes_scores_less_sure_and_keeps_their_order() -> None:
    logits = np.array([[1.0, 3.0, 2.0]], dtype=np.float32)
    np.testing.assert_allclose(probabilities(logits, 2.0), probabilities(logits / 2))
    assert (probabilities(logits, 2.0).argsort() == probabilities(logits).argsort()).all()
    assert probabilities(logits, 2.0).max() < probabilities(logits).max()


@pytest.mark.parametrize(("unknown", "expected"), [(0.0, 0.9), (0.3, 0.9), (0.45, 0.7), (0.6, 0.5), (1.0, 0.5)])
def test_the_less_can_be_read_the_nearer_the_scores_are_to_the_prior(unknown: float, expected: float) -> None:
    encoding = Encoding(np.array([2, 1, 3], dtype=np.int32), truncated=True, unknown=unknown)
    prediction = prediction_of(encoding, [(0.9, 0.1)], Calibration(prior=(0.5, 0.5)))
    assert prediction.scores == pytest.approx((expected, 1 - expected))
    assert (prediction.tokens, prediction.truncated, prediction.unknown) == (3, True, unknown)


def test_several_windows_that_cannot_be_read_give_the_prior() -> None:
    ids = np.array([2, 1, 3], dtype=np.int32)
    encoding = Encoding(ids, truncated=False, further=(ids,), unknown=1.0)
    prediction = prediction_of(encoding, [(0.9, 0.1), (0.8, 0.2)], Calibration(prior=(0.25, 0.75)))
    assert prediction.scores == pytest.approx((0.25, 0.75))
    assert prediction.windows == 2


WINDOWS = st.lists(
    st.tuples(st.lists(st.floats(-30, 30, width=32), min_size=3, max_size=3), st.integers(1, 510)),
    min_size=1,
    max_size=8,
)


def _scores(logits: list[list[float]]) -> list[list[float]]:
    return probabilities(np.array(logits, dtype=np.float32)).tolist()


@given(WINDOWS)
def test_windows_are_pooled_by_the_weighted_mean_of_their_logits(windows: list[tuple[list[float], int]]) -> None:
    logits, tokens = [each[0] for each in windows], [each[1] for each in windows]
    mean = np.average(np.array(logits), axis=0, weights=tokens)
    expected = np.exp(mean - mean.max()) / np.exp(mean - mean.max()).sum()
    np.testing.assert_allclose(pooled(_scores(logits), tokens), expected, rtol=1e-4, atol=1e-12)


@given(WINDOWS, st.randoms(use_true_random=False))
def test_the_order_of_windows_does_not_matter(windows: list[tuple[list[float], int]], chooser: random.Random) -> None:
    shuffled = chooser.sample(windows, len(windows))
    results = [pooled(_scores([each[0] for each in some]), [each[1] for each in some]) for some in (windows, shuffled)]
    assert results[0] == pytest.approx(results[1], rel=1e-6)


@given(st.lists(st.floats(-30, 30, width=32), min_size=2, max_size=5), st.lists(st.integers(1, 510), min_size=1))
def test_one_window_is_itself_and_so_are_equal_ones(logits: list[float], tokens: list[int]) -> None:
    (scores,) = _scores([logits])
    assert pooled([scores], tokens[:1]) == pytest.approx(scores, rel=1e-6)
    assert pooled([scores] * len(tokens), tokens) == pytest.approx(scores, rel=1e-6)


def test_a_longer_window_counts_for_more() -> None:
    windows = [[0.9, 0.1], [0.1, 0.9]]
    assert pooled(windows, [1, 1]) == pytest.approx((0.5, 0.5))
    assert pooled(windows, [3, 1]) == pytest.approx((0.75, 0.25))  # logits of +-ln 9, their mean half of it: ln 3


def test_a_certainty_has_a_logarithm_and_what_is_no_number_stays_none() -> None:
    certain = pooled([[1.0, 0.0], [0.0, 1.0]], [2, 1])
    assert certain[0] == pytest.approx(1.0)
    assert sum(certain) == pytest.approx(1.0)
    assert pooled([[1.0, 0.0], [0.0, 1.0]], [1, 1]) == pytest.approx((0.5, 0.5))
    assert all(map(math.isnan, pooled([[math.nan, 1.0], [0.5, 0.5]], [1, 1])))
