"""What a model puts out, to probabilities."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from worker.errors import InferenceError

Scores = npt.NDArray[np.float32]


def probabilities(logits: npt.NDArray[np.floating[Any]]) -> Scores:
    """Softmax of each row of `logits` ``[rows, labels]``, in float32; raises `InferenceError` for one not finite."""
    scores = logits.astype(np.float32)
    if not np.isfinite(scores).all():
        raise InferenceError("the model put out a score that is not finite")
    scores -= scores.max(axis=1, keepdims=True)
    np.exp(scores, out=scores)
    scores /= scores.sum(axis=1, keepdims=True)
    return scores
