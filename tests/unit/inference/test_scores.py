"""Logits to probabilities."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.errors import InferenceError
from worker.inference.scores import probabilities


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
