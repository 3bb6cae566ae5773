"""An evaluation written down: as a JSON document, and as lines for people."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

from worker.modelkit.evaluation.evaluation import Evaluation
from worker.modelkit.evaluation.metrics import Part

_NOT_THERE = "-"


def headline_figures(evaluation: Evaluation) -> dict[str, float]:
    """The figures under the names, in the order and with the rounding that transformers' Trainer gives them.

    ``eval_loss`` is in nats, ``eval_runtime`` in seconds, samples are rows, steps are batches
    (``transformers.trainer_utils.speed_metrics`` rounds as here).
    """
    return {
        "eval_loss": evaluation.loss,
        "eval_accuracy": evaluation.accuracy,
        "eval_f1": evaluation.averages.f1,
        "eval_precision": evaluation.averages.precision,
        "eval_recall": evaluation.averages.recall,
        "eval_runtime": round(evaluation.runtime_s, 4),
        "eval_samples_per_second": round(evaluation.rows_per_second, 3),
        "eval_steps_per_second": round(evaluation.batches_per_second, 3),
    }


def document(evaluation: Evaluation) -> dict[str, Any]:
    """Everything, ready for `json.dumps`: flat ``eval_*`` members first, always in the same order; no NaN."""
    measured = evaluation.measured
    return {
        **headline_figures(evaluation),
        "averaging": {"method": evaluation.averaging.method, "labels": list(evaluation.averaging.labels)},
        "rows": asdict(evaluation.rows),
        "per_label": {
            figure.label: {name: value for name, value in asdict(figure).items() if name != "label"}
            for figure in evaluation.per_label
        },
        "confusion_matrix": {
            "labels": list(measured.labels),
            "true_by_predicted": [list(row) for row in evaluation.confusion],
        },
        "calibration": {
            "ece": evaluation.calibration_error,
            "bins": [asdict(calibration_bin) for calibration_bin in evaluation.calibration_bins],
        },
        "length": {
            "max_tokens": measured.max_tokens,
            "overflow": measured.overflow,
            "longer": asdict(evaluation.longer),
            "others": asdict(evaluation.others),
        },
        "zero_divisions": list(evaluation.zero_divisions),
        "model": {"identity": measured.model, "precision": measured.precision, "labels": list(measured.labels)},
        "data": {"file": measured.data},
        "inference": {
            "provider": measured.provider,
            "max_batch_tokens": measured.max_batch_tokens,
            "window_rows": measured.window_rows,
            "batches": measured.batches,
            "padding_waste": measured.padding_waste,
        },
        "versions": dict(measured.versions),
        "machine": dict(measured.machine),
    }


def lines(evaluation: Evaluation) -> Iterator[str]:
    """The same for people, in plain text; blank lines between the parts."""
    measured = evaluation.measured
    yield f"{measured.model} ({measured.precision}) on {measured.data}, {evaluation.rows.measured:,} rows"
    yield ""
    for name, value in headline_figures(evaluation).items():
        yield f"{name:<24} {value:.4f}" if value < 10 else f"{name:<24} {value:.1f}"
    yield ""
    yield _averaging(evaluation)
    yield "Loss is the mean cross entropy in nats, runtime in seconds; a sample is a row, a step a batch."
    yield from evaluation.zero_divisions
    yield ""
    yield from _per_label(evaluation)
    yield ""
    yield from _confusion(evaluation)
    yield ""
    yield from _calibration(evaluation)
    yield ""
    yield from _length(evaluation)
    yield ""
    yield from _how(evaluation)


def _averaging(evaluation: Evaluation) -> str:
    averaging = evaluation.averaging
    if averaging.method == "binary":
        return f"Precision, recall and F1 are those of the label {averaging.labels[0]!r} (--positive-label)."
    missing = [figure.label for figure in evaluation.per_label if figure.label not in averaging.labels]
    but = f"; not in it, since in no row and never predicted: {', '.join(missing)}" if missing else ""
    return f"Precision, recall and F1 are macro averages: unweighted means over {len(averaging.labels)} labels{but}."


def _per_label(evaluation: Evaluation) -> Iterator[str]:
    header = ("label", "precision", "recall", "F1", "rows", "predicted")
    rows = [
        (
            figure.label,
            f"{figure.precision:.4f}",
            f"{figure.recall:.4f}",
            f"{figure.f1:.4f}",
            f"{figure.support:,}",
            f"{figure.predicted:,}",
        )
        for figure in evaluation.per_label
    ]
    return _table(header, rows)


def _confusion(evaluation: Evaluation) -> Iterator[str]:
    labels = evaluation.measured.labels
    rows = [(label, *(f"{count:,}" for count in row)) for label, row in zip(labels, evaluation.confusion, strict=True)]
    return _table(("true \\ predicted", *labels), rows)


def _calibration(evaluation: Evaluation) -> Iterator[str]:
    bins = evaluation.calibration_bins
    yield f"Calibration error (ECE, {len(bins)} bins): {evaluation.calibration_error:.4f}"
    rows = [
        (f"{each.low:.3f} to {each.high:.3f}", _share(each.confidence), _share(each.accuracy), f"{each.count:,}")
        for each in bins
        if each.count
    ]
    yield from _table(("confidence", "mean", "accuracy", "rows"), rows)


def _length(evaluation: Evaluation) -> Iterator[str]:
    limit = evaluation.measured.max_tokens

    def row(name: str, part: Part) -> tuple[str, str, str]:
        return name, _share(part.accuracy), f"{part.count:,}"

    rows = [row(f"up to {limit} tokens", evaluation.others), row("longer than the model", evaluation.longer)]
    return _table(("length", "accuracy", "rows"), rows)


def _how(evaluation: Evaluation) -> Iterator[str]:
    measured, rows = evaluation.measured, evaluation.rows
    yield (
        f"rows: {rows.read:,} read, {rows.measured:,} measured; left out: {rows.blank:,} blank,"
        f" {rows.without_label:,} without a label, {rows.unknown_label:,} with a label that the model does not know"
    )
    yield (
        f"batches: {measured.batches:,} of up to {measured.max_batch_tokens:,} tokens on {measured.provider},"
        f" {measured.padding_waste:.1%} padding"
    )
    yield "versions: " + ", ".join(f"{name} {version}" for name, version in measured.versions.items())
    machine = measured.machine
    parts = [str(machine.get("processor")), f"{machine.get('cores')} cores", f"{machine.get('memory_gib')} GiB"]
    parts += [str(machine[name]) for name in ("gpu", "system") if machine.get(name)]
    yield "machine: " + ", ".join(parts)


def _share(value: float | None) -> str:
    return _NOT_THERE if value is None else f"{value:.4f}"


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Columns as wide as they need be, the first one to the left, figures to the right."""
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    for row in (header, *rows):
        first, *others = (
            cell.ljust(width) if index == 0 else cell.rjust(width)
            for index, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        yield "  ".join((first, *others)).rstrip()
