"""What a model puts out, to probabilities."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from worker.errors import NotFiniteError
from worker.inference.calibration import UNCALIBRATED, Calibration
from worker.records import Encoding, Prediction
from worker.tokenization.overflow import MARKERS

Scores = npt.NDArray[np.float32]

_LEAST = float(np.finfo(np.float32).smallest_subnormal)
"""What a probability of zero counts as: it was too small for float32, and has no logarithm."""


def probabilities(logits: npt.NDArray[np.floating[Any]], temperature: float = 1.0) -> Scores:
    """Softmax of each row of `logits` ``[rows, labels]``, in float32; raises `NotFiniteError` for one not finite.

    The logits are divided by `temperature` first: above 1 the model is less sure, and its labels stay what they are.
    """
    scores = logits.astype(np.float32)
    if not np.isfinite(scores).all():
        raise NotFiniteError("the model put out a score that is not finite")
    if temperature != 1.0:
        scores /= temperature
    scores -= scores.max(axis=1, keepdims=True)
    np.exp(scores, out=scores)
    scores /= scores.sum(axis=1, keepdims=True)
    return scores


def pooled(windows: Sequence[Sequence[float]], text_tokens: Sequence[int]) -> tuple[float, ...]:
    """One review's probabilities from those of its windows ``[windows][labels]``, each by its tokens of text.

    Softmax of the weighted mean of the windows' logits. The logarithms of a window's probabilities are its logits but
    for a constant, and softmax does not see constants, so this is exact. In float64, rounded to float32 at the end;
    of what is not a number comes what is not a number.
    """
    logits = np.log(np.maximum(np.array(windows, dtype=np.float64), _LEAST))
    mean = np.average(logits, axis=0, weights=text_tokens)
    scores = np.exp(mean - mean.max())
    scores /= scores.sum()
    return tuple(scores.astype(np.float32).tolist())


def prediction_of(
    encoding: Encoding, windows: Sequence[Sequence[float]], calibration: Calibration = UNCALIBRATED
) -> Prediction:
    """What the model says of a review, from the probabilities of its `windows`, in their order."""
    if encoding.further:
        scores = pooled(windows, [len(ids) - MARKERS for ids in encoding.windows])
    else:
        scores = tuple(windows[0])
    if encoding.unknown:
        scores = calibration.readable(scores, encoding.unknown)
    return Prediction(scores, len(encoding), encoding.truncated, len(windows), encoding.unknown)
