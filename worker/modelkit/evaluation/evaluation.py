"""The result of a measurement, as plain values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from worker.modelkit.evaluation.metrics import Averages, CalibrationBin, LabelFigures, Part


@dataclass(frozen=True)
class EvaluationOptions:
    """What a person decides about a measurement."""

    positive_label: str | None = None
    """With two labels: the one whose precision, recall and F1 are given; None takes the last."""
    skip_unlabelled: bool = False
    """Leave out rows without a label, or with one that the model does not know, instead of stopping at the first."""
    limit: int | None = None
    """Rows to read at most."""


@dataclass(frozen=True)
class RowCounts:
    """What became of the rows that were read."""

    read: int
    measured: int
    blank: int
    """Without a visible character: nothing to classify; the worker makes them dead letters (``text_blank``)."""
    without_label: int
    unknown_label: int
    """With a label that the model does not know."""


@dataclass(frozen=True)
class Averaging:
    """How precision, recall and F1 became one figure each."""

    method: str
    """``binary`` or ``macro``."""
    labels: tuple[str, ...]
    """The positive label; or those that occur in the data or in the predictions, as scikit-learn takes them."""


@dataclass(frozen=True)
class Measured:
    """What was measured, where and how."""

    model: str
    precision: str
    labels: tuple[str, ...]
    max_tokens: int
    """Longest encoding in tokens that the model reads at once."""
    data: str
    """Name of the file."""
    provider: str
    overflow: str
    """What was read of longer reviews; see `worker.tokenization.overflow.Overflow`."""
    max_batch_tokens: int
    window_rows: int
    """Rows that are sorted by length together."""
    batches: int
    padding_waste: float
    versions: Mapping[str, str] = field(default_factory=dict)
    machine: Mapping[str, str | int | None] = field(default_factory=dict)


@dataclass(frozen=True)
class Evaluation:
    """Figures of one model on one file."""

    loss: float
    """Mean cross entropy in nats."""
    accuracy: float
    averages: Averages
    averaging: Averaging
    runtime_s: float
    """From the first row read to the last one counted; loading the model is not in it."""
    rows: RowCounts
    per_label: tuple[LabelFigures, ...]
    confusion: tuple[tuple[int, ...], ...]
    """Rows by true label, then by predicted label, in the model's order."""
    calibration_error: float
    calibration_bins: tuple[CalibrationBin, ...]
    longer: Part
    """Rows longer than the model."""
    others: Part
    zero_divisions: tuple[str, ...]
    measured: Measured

    @property
    def rows_per_second(self) -> float:
        """Rows measured in a second."""
        return self.rows.measured / self.runtime_s if self.runtime_s else 0.0

    @property
    def batches_per_second(self) -> float:
        """Batches computed in a second."""
        return self.measured.batches / self.runtime_s if self.runtime_s else 0.0
