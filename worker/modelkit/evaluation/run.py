"""The measurement itself: rows in, figures out, in memory that does not grow with the file."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import numpy as np

from worker.errors import InferenceError, SessionError, UsageError
from worker.inference.classifier import Classification
from worker.modelkit.evaluation.environment import machine, versions
from worker.modelkit.evaluation.evaluation import Averaging, Evaluation, EvaluationOptions, Measured, RowCounts
from worker.modelkit.evaluation.intake import Intake, windows
from worker.modelkit.evaluation.labels import LabelReader
from worker.modelkit.evaluation.metrics import RunningFigures, averages, label_figures, zero_divisions
from worker.modelkit.evaluation.rows import Row, RowSource
from worker.modelkit.evaluation.subject import Subject

Progress = Callable[[float, int], None]
"""Told the share of the file that is done, 0 to 1, and the rows that are classified."""
MIN_WINDOW_ROWS = 512
"""Rows that are sorted by length together; with a CPU's budget, 1 % of what film reviews cost is padding then."""
WINDOW_CHARACTERS = 8_000_000
"""A window ends early once its texts have so many characters."""
_TOKENS_PER_WINDOW_ROW = 8  # of a batch: a window is to have many batches, however large they are


def evaluate(
    subject: Subject,
    source: RowSource,
    labels: LabelReader,
    options: EvaluationOptions | None = None,
    *,
    progress: Progress | None = None,
    clock: Callable[[], float] = time.perf_counter,
) -> Evaluation:
    """Classify the rows of `source` and compare with their labels.

    Raises `UsageError` for a positive label that is none, for the first row that cannot be used, and where no row was
    left to measure; `SessionError` with the place where the model fails.
    """
    options = options or EvaluationOptions()
    averaged = _averaged_labels(labels.labels, options.positive_label)
    window_rows = max(MIN_WINDOW_ROWS, subject.max_batch_tokens // _TOKENS_PER_WINDOW_ROW)
    intake = Intake(source, labels, options)
    figures = RunningFigures(len(labels.labels))
    started = clock()
    reporter = _Reporter(intake, progress)
    subject.session.start(reporter.computed)
    for window in windows(intake.rows(), window_rows, WINDOW_CHARACTERS):
        reporter.begin(len(window))
        answers = _answers(subject, source, [row for row, _ in window])
        figures.add(
            np.array([truth for _, truth in window], dtype=np.int64),
            np.array([[answer.scores[label] for label in labels.labels] for answer in answers]),
            np.array([answer.truncated or answer.windows > 1 for answer in answers], dtype=np.bool_),
        )
        reporter.end()
    runtime_s = clock() - started
    if not figures.count:
        raise UsageError(f"{source.path}: no row to measure; {intake.summary()}")
    return _evaluation(figures, averaged, intake.counts(), runtime_s, _measured(subject, source, window_rows))


class _Reporter:
    """Tells how far it is, batch by batch: within a window by its rows."""

    def __init__(self, intake: Intake, progress: Progress | None) -> None:
        self._intake, self._progress = intake, progress
        self._from = self._to = 0.0
        self._before = self._rows = self._done = 0

    def begin(self, rows: int) -> None:
        self._rows, self._done = rows, 0
        self._from, self._to = self._to, self._intake.share_read()

    def computed(self, rows: int) -> None:
        self._done = min(self._done + rows, self._rows)
        self._tell()

    def end(self) -> None:
        self._done = self._rows
        self._tell()
        self._before += self._rows

    def _tell(self) -> None:
        if self._progress is not None:
            share = self._from + (self._to - self._from) * self._done / self._rows
            self._progress(share, self._before + self._done)


def _answers(subject: Subject, source: RowSource, rows: Sequence[Row]) -> list[Classification]:
    try:
        return subject.classifier.predict([row.text for row in rows])
    except InferenceError as error:
        raise SessionError(f"{source.path}, from {rows[0].place} to {rows[-1].place}: {error}") from error


def _averaged_labels(labels: Sequence[str], positive: str | None) -> tuple[int, ...]:
    """The numbers of the labels to average over, before it is known which of them occur."""
    if len(labels) > 2:
        if positive is not None:
            raise UsageError(
                f"--positive-label is for models with two labels; this one has {len(labels)}, and means over them"
            )
        return tuple(range(len(labels)))
    if positive is None:
        return (len(labels) - 1,)
    if positive not in labels:
        raise UsageError(f"--positive-label {positive}: the model knows {', '.join(labels)}")
    return (labels.index(positive),)


def _measured(subject: Subject, source: RowSource, window_rows: int) -> Measured:
    artifact = subject.classifier.artifact
    return Measured(
        model=artifact.identity,
        precision=artifact.precision,
        labels=artifact.labels,
        max_tokens=artifact.max_length,
        data=source.path.name,
        provider=subject.classifier.provider,
        overflow=subject.classifier.tokeniser.overflow.policy,
        max_batch_tokens=subject.max_batch_tokens,
        window_rows=window_rows,
        batches=subject.session.batches,
        padding_waste=subject.session.padding_waste,
        versions=versions(),
        machine=machine(gpu=subject.classifier.provider == "cuda"),
    )


def _evaluation(
    figures: RunningFigures, averaged: Sequence[int], rows: RowCounts, runtime_s: float, measured: Measured
) -> Evaluation:
    per_label = label_figures(measured.labels, figures.confusion)
    chosen = [per_label[index] for index in averaged]
    if len(averaged) > 1:
        chosen = [figure for figure in chosen if figure.support or figure.predicted]
    return Evaluation(
        loss=figures.loss,
        accuracy=figures.accuracy,
        averages=averages(chosen),
        averaging=Averaging("macro" if len(averaged) > 1 else "binary", tuple(figure.label for figure in chosen)),
        runtime_s=runtime_s,
        rows=rows,
        per_label=per_label,
        confusion=tuple(tuple(row) for row in figures.confusion.tolist()),
        calibration_error=figures.calibration_error,
        calibration_bins=figures.calibration_bins(),
        longer=figures.longer(),
        others=figures.others(),
        zero_divisions=zero_divisions(per_label),
        measured=measured,
    )
