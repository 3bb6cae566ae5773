"""The confusion matrix and the reliability diagram as pictures.

Needs matplotlib, whose global state (pyplot, the backend) is left alone.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from worker.errors import UsageError
from worker.extras import install_command
from worker.modelkit.evaluation.evaluation import Evaluation

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CONFUSION, RELIABILITY = "confusion-matrix.png", "reliability.png"
DPI = 150

_BLUE, _ORANGE, _GREY = "#0072B2", "#D55E00", "#767676"
"""Of Okabe and Ito's palette, which colour-blind people can tell apart; the matrix goes from light to dark."""
_NORMAL_95 = 1.96
_LONGEST_NAME, _LONGEST_TITLE = 18, 56
_SMALLEST_MATRIX, _CELL = 2.6, 0.85
"""Inches: the side of a matrix of few labels, and that of a cell of many."""
_CHARACTERS_PER_INCH = 11


def require_matplotlib() -> None:
    """Raise `UsageError`, which names the extra, where there is no matplotlib."""
    try:
        import matplotlib.figure  # noqa: F401
    except ImportError:
        raise UsageError(f"--plot needs matplotlib; install it with: {install_command('evaluate')}") from None


def write_pictures(evaluation: Evaluation, folder: Path) -> list[Path]:
    """Write both pictures into `folder`, which is made where it is missing; returns their paths."""
    require_matplotlib()
    pictures = {CONFUSION: confusion_figure(evaluation), RELIABILITY: reliability_figure(evaluation)}
    try:
        return _save(pictures, folder)
    except OSError as error:
        raise UsageError(f"--plot {folder}: cannot be written ({error.strerror})") from None


def confusion_figure(evaluation: Evaluation) -> Figure:
    """Counts, and their share of the row (of the rows with that true label), which also gives the colour."""
    from matplotlib.figure import Figure

    names = [_name(label) for label in evaluation.measured.labels]
    side = 2.4 + max(_SMALLEST_MATRIX, _CELL * len(names))
    width = side + 0.5 + max(map(len, names)) / _CHARACTERS_PER_INCH
    figure = Figure(figsize=(width, side), layout="constrained")
    axes = figure.add_subplot()
    shares = [[count / max(sum(row), 1) for count in row] for row in evaluation.confusion]
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for y, row in enumerate(evaluation.confusion):
        for x, count in enumerate(row):
            axes.text(
                x,
                y,
                f"{count:,}\n{shares[y][x]:.1%}",
                ha="center",
                va="center",
                fontsize=12 if len(names) <= 4 else 10 if len(names) <= 6 else 9,
                fontweight="bold" if x == y else "normal",
                color="white" if shares[y][x] > 0.55 else "black",
            )
    places = range(len(names))
    tilted = max(map(len, names)) > _CHARACTERS_PER_INCH * max(_SMALLEST_MATRIX / len(names), _CELL)
    axes.set_xticks(places, names, rotation=40 if tilted else 0, ha="right" if tilted else "center")
    support = [f"{name}\n({figure.support:,})" for name, figure in zip(names, evaluation.per_label, strict=True)]
    axes.set_yticks(places, support)
    axes.tick_params(length=0)
    for edge in axes.spines.values():
        edge.set_visible(False)
    for between in range(1, len(names)):
        axes.axhline(between - 0.5, color="white", linewidth=2)
        axes.axvline(between - 0.5, color="white", linewidth=2)
    axes.set_xlabel("predicted label")
    axes.set_ylabel("true label (rows)")
    bar = figure.colorbar(image, ax=axes, fraction=0.046, pad=0.03, format=lambda value, _: f"{value:.0%}")
    bar.set_label("share of the rows with that true label")
    bar.outline.set_visible(False)
    _title(figure, "Confusion matrix", evaluation, f"accuracy {evaluation.accuracy:.4f}")
    return figure


def reliability_figure(evaluation: Evaluation) -> Figure:
    """Accuracy against confidence, bin by bin, over a histogram of the rows; whiskers are Wilson's 95 % intervals."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.2, 6.6), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1.15))
    bins = [each for each in evaluation.calibration_bins if each.count]
    confidence = [each.confidence or 0.0 for each in bins]
    accuracy = [each.accuracy or 0.0 for each in bins]
    intervals = [wilson_interval(share, each.count) for share, each in zip(accuracy, bins, strict=True)]
    whiskers = [
        [share - low for share, (low, _) in zip(accuracy, intervals, strict=True)],
        [high - share for share, (_, high) in zip(accuracy, intervals, strict=True)],
    ]
    above.plot([0, 1], [0, 1], linestyle="--", color=_GREY, linewidth=1.2, label="perfectly calibrated")
    above.vlines(confidence, confidence, accuracy, color=_ORANGE, linewidth=3, alpha=0.55, label="gap")
    above.errorbar(
        confidence, accuracy, yerr=whiskers, fmt="o-", color=_BLUE, markersize=6, linewidth=1.4, elinewidth=1,
        capsize=3, label="model, with 95 % interval",
    )  # fmt: skip
    above.set_ylim(0, 1.02)
    above.set_ylabel("accuracy")
    above.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3, frameon=False)
    all_bins = evaluation.calibration_bins
    counts = [each.count for each in all_bins]
    drawn = below.bar(
        [each.low for each in all_bins], counts, width=1 / len(all_bins), align="edge", color=_BLUE, edgecolor="white"
    )
    below.bar_label(drawn, [_count(count) for count in counts], fontsize=7, padding=1)
    below.set_ylim(0, max(counts) * 1.22)
    below.yaxis.get_major_locator().set_params(integer=True)
    below.yaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    below.set_ylabel("rows")
    below.set_xlabel("confidence: probability of the predicted label")
    below.set_xlim(_first_edge(evaluation), 1.0)
    for axes in (above, below):
        axes.grid(alpha=0.25)
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
    error = f"ECE {evaluation.calibration_error:.4f} ({len(all_bins)} bins)"
    _title(figure, "Reliability", evaluation, error)
    return figure


def wilson_interval(share: float, count: int) -> tuple[float, float]:
    """Where a true share lies with 95 % when `share` of `count` was seen (Wilson, 1927)."""
    z2 = _NORMAL_95**2
    centre = (share + z2 / (2 * count)) / (1 + z2 / count)
    reach = _NORMAL_95 * math.sqrt(share * (1 - share) / count + z2 / (4 * count**2)) / (1 + z2 / count)
    return max(min(centre - reach, share), 0.0), min(max(centre + reach, share), 1.0)


def _first_edge(evaluation: Evaluation) -> float:
    """Where the confidence axis starts: no predicted label has less than its share of all labels."""
    lowest = 1 / len(evaluation.measured.labels)
    return max((each.low for each in evaluation.calibration_bins if each.low <= lowest), default=0.0)


def _title(figure: Any, what: str, evaluation: Evaluation, result: str) -> None:
    measured = evaluation.measured
    model = f"{_name(measured.model, _LONGEST_TITLE)} ({measured.precision})"
    figure.suptitle(f"{what}\n{model}\nn = {evaluation.rows.measured:,}, {result}", fontsize=11)


def _count(rows: int) -> str:
    """A number of rows that is not wider than a bar."""
    return "" if not rows else f"{rows:,}" if rows < 100_000 else f"{rows / 1000:,.0f}k"


def _name(text: str, longest: int = _LONGEST_NAME) -> str:
    """A name for a picture: not longer than there is room, and with no dollar that would start a formula."""
    plain = "".join(character if character.isprintable() else " " for character in text)
    return (plain if len(plain) <= longest else plain[: longest - 1] + "…").replace("$", r"\$")


def _save(pictures: Mapping[str, Any], folder: Path) -> list[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for name, figure in pictures.items():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # the font may lack a letter of a label
            figure.savefig(folder / name, dpi=DPI, format="png")
        written.append(folder / name)
    return written
