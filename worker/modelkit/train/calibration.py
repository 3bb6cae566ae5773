"""Temperature scaling: one number that divides the logits, so that scores match accuracy.

Guo et al., "On Calibration of Modern Neural Networks", ICML 2017.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


def fit_temperature(differences: npt.NDArray[np.floating], labels: npt.NDArray[np.integer]) -> float:
    """The temperature with the least mean cross entropy; `differences` are logits of label 1 less those of label 0."""
    signed = np.where(np.asarray(labels) == 1, 1.0, -1.0) * np.asarray(differences, dtype=np.float64)
    candidates = np.geomspace(0.25, 4.0, 801)
    losses = [np.logaddexp(0.0, -signed / temperature).mean() for temperature in candidates]
    return round(float(candidates[int(np.argmin(losses))]), 3)
