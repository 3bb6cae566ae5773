"""Running figures: what is kept of rows that have gone by, and what follows from it. numpy only, no I/O."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

CALIBRATION_BINS = 15
"""As in Guo et al., "On Calibration of Modern Neural Networks" (ICML 2017)."""

_SMALLEST = float(np.finfo(np.float32).tiny)
"""A float32 probability of 0 costs as much as this one (87.3 nats), so that one row cannot make the mean infinite."""


@dataclass(frozen=True)
class LabelFigures:
    """How well one label is recognised; 0.0 stands for a share of nothing, as in scikit-learn."""

    label: str
    precision: float
    recall: float
    f1: float
    support: int
    """Rows whose true label it is."""
    predicted: int
    """Rows that the model gave it to."""


@dataclass(frozen=True)
class CalibrationBin:
    """The rows whose confidence (probability of the predicted label) is in ``[low, high)``; the last has 1.0 too."""

    low: float
    high: float
    count: int
    confidence: float | None
    """Mean; None without rows."""
    accuracy: float | None


@dataclass(frozen=True)
class Part:
    """Some of the rows."""

    count: int
    accuracy: float | None
    """None without rows."""


@dataclass(frozen=True)
class Averages:
    """Precision, recall and F1 in one figure each: of the positive label, or the mean over the labels that occur."""

    precision: float
    recall: float
    f1: float


class RunningFigures:
    """Counts rows as they go by; its size depends on the number of labels only."""

    def __init__(self, labels: int, bins: int = CALIBRATION_BINS) -> None:
        self.confusion = np.zeros((labels, labels), dtype=np.int64)
        """Rows by true label (first axis) and predicted label."""
        self._bins = bins
        self._bin_counts = np.zeros(bins, dtype=np.int64)
        self._bin_right = np.zeros(bins, dtype=np.int64)
        self._bin_confidence = np.zeros(bins)
        self._loss = 0.0
        self._longer = np.zeros(2, dtype=np.int64)  # rows, right ones

    def add(
        self, truths: npt.NDArray[np.int64], scores: npt.NDArray[np.float64], longer: npt.NDArray[np.bool_]
    ) -> None:
        """Add rows: `truths` ``[rows]``, probabilities `scores` ``[rows, labels]``, and which were `longer` ``[rows]``.

        The predicted label is the one with the highest score, the first of them when several are equal.
        """
        predicted = scores.argmax(axis=1)
        right = predicted == truths
        np.add.at(self.confusion, (truths, predicted), 1)
        of_truth = np.take_along_axis(scores, truths[:, None], axis=1)
        self._loss -= float(np.log(np.maximum(of_truth, _SMALLEST)).sum())
        confidence = scores.max(axis=1)
        bins = np.clip((confidence * self._bins).astype(np.int64), 0, self._bins - 1)
        np.add.at(self._bin_counts, bins, 1)
        np.add.at(self._bin_right, bins, right)
        np.add.at(self._bin_confidence, bins, confidence)
        self._longer += int(longer.sum()), int((longer & right).sum())

    @property
    def count(self) -> int:
        """Rows added."""
        return int(self.confusion.sum())

    @property
    def loss(self) -> float:
        """Mean cross entropy in nats; rows are needed, as for all that follows."""
        return self._loss / self.count

    @property
    def accuracy(self) -> float:
        """Share of the rows whose label was predicted."""
        return int(self.confusion.trace()) / self.count

    @property
    def calibration_error(self) -> float:
        """ECE: mean distance of confidence and accuracy over the bins, weighted by their rows."""
        return float(np.abs(self._bin_confidence - self._bin_right).sum() / self.count)

    def calibration_bins(self) -> tuple[CalibrationBin, ...]:
        """All bins, empty ones too."""
        rows = zip(self._bin_counts.tolist(), self._bin_confidence.tolist(), self._bin_right.tolist(), strict=True)
        return tuple(
            CalibrationBin(
                low=index / self._bins,
                high=(index + 1) / self._bins,
                count=count,
                confidence=confidence / count if count else None,
                accuracy=right / count if count else None,
            )
            for index, (count, confidence, right) in enumerate(rows)
        )

    def longer(self) -> Part:
        """The rows that the model could not read to the end at once."""
        return _part(*self._longer.tolist())

    def others(self) -> Part:
        """All rows but those."""
        count, right = self._longer.tolist()
        return _part(self.count - count, int(self.confusion.trace()) - right)


def label_figures(labels: Sequence[str], confusion: npt.NDArray[np.int64]) -> tuple[LabelFigures, ...]:
    """The figures of each label, from the confusion matrix ``[true, predicted]``."""
    support, predicted = confusion.sum(axis=1).tolist(), confusion.sum(axis=0).tolist()
    hits = confusion.diagonal().tolist()
    return tuple(
        LabelFigures(
            label=label,
            precision=_ratio(hits[index], predicted[index]),
            recall=_ratio(hits[index], support[index]),
            f1=_ratio(2 * hits[index], support[index] + predicted[index]),
            support=support[index],
            predicted=predicted[index],
        )
        for index, label in enumerate(labels)
    )


def averages(figures: Sequence[LabelFigures]) -> Averages:
    """The unweighted means over `figures`: the macro average, or one label's own figures."""
    count = len(figures)
    return Averages(
        precision=sum(figure.precision for figure in figures) / count,
        recall=sum(figure.recall for figure in figures) / count,
        f1=sum(figure.f1 for figure in figures) / count,
    )


def zero_divisions(figures: Sequence[LabelFigures]) -> tuple[str, ...]:
    """One line for each figure that is 0.0 because there is nothing to take a share of."""
    return tuple(
        f"{affected} of {figure.label!r} is 0.0: {why}" for figure in figures for affected, why in _empty_shares(figure)
    )


def _empty_shares(figure: LabelFigures) -> list[tuple[str, str]]:
    shares = []
    if not figure.predicted:
        shares.append(("precision", "it was never predicted"))
    if not figure.support:
        shares.append(("recall", "no row has it"))
    if not figure.predicted and not figure.support:
        shares.append(("F1", "it occurs nowhere"))
    return shares


def _ratio(part: int, whole: int) -> float:
    return part / whole if whole else 0.0


def _part(count: int, right: int) -> Part:
    return Part(count, right / count if count else None)
