"""The pictures: valid, of a size that fits what is in them, and with the right numbers."""

from __future__ import annotations

import dataclasses
import struct
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from evaluation_parts import FakeSubject, labelled, source_of
from matplotlib.image import imread

from worker.errors import UsageError
from worker.evaluation.evaluation import Evaluation
from worker.evaluation.labels import LabelReader
from worker.evaluation.pictures import (
    CONFUSION,
    DPI,
    RELIABILITY,
    confusion_figure,
    reliability_figure,
    wilson_interval,
    write_pictures,
)
from worker.evaluation.run import evaluate
from worker.inference import Artifact

TEN = tuple(f"label number {index}" for index in range(10))


def measured(labels: Sequence[str] = ("neg", "pos"), rows: int = 120) -> Evaluation:
    fake = FakeSubject(labels)
    texts = [f"review {number}" for number in range(rows)]
    truths = [number % len(labels) for number in range(rows)]
    return evaluate(fake.subject, source_of(labelled(texts, truths)), LabelReader(labels))


def size_of(path: Path) -> tuple[int, int]:
    """Width and height of a PNG, from its header."""
    data = path.read_bytes()
    assert data.startswith(b"\x89PNG\r\n\x1a\n")
    width, height = struct.unpack(">II", data[16:24])
    return width, height


@pytest.mark.parametrize("labels", [("neg", "pos"), TEN], ids=len)
def test_both_pictures_are_written_in_the_size_of_their_figures(tmp_path: Path, labels: Sequence[str]) -> None:
    evaluation = measured(labels)
    paths = write_pictures(evaluation, tmp_path / "new" / "folder")
    assert [path.name for path in paths] == [CONFUSION, RELIABILITY]
    for path, figure in zip(paths, (confusion_figure(evaluation), reliability_figure(evaluation)), strict=True):
        width, height = figure.get_size_inches() * DPI
        assert size_of(path) == (int(width), int(height))
        pixels = imread(path)
        assert np.unique(pixels.reshape(-1, pixels.shape[2]), axis=0).shape[0] > 20


def test_the_matrix_grows_with_its_labels() -> None:
    widths = [confusion_figure(measured(labels)).get_size_inches()[0] for labels in (("a", "b"), TEN)]
    assert widths[1] > widths[0] + 4


@pytest.mark.parametrize("labels", [("neg", "pos"), ("bad", "fair", "good"), TEN], ids=len)
def test_every_cell_has_its_count_and_its_share_of_the_row(labels: Sequence[str]) -> None:
    evaluation = measured(labels)
    axes = confusion_figure(evaluation).axes[0]
    cells = {(round(text.get_position()[1]), round(text.get_position()[0])): text.get_text() for text in axes.texts}
    assert cells == {
        (row, column): f"{count:,}\n{count / sum(counts):.1%}"
        for row, counts in enumerate(evaluation.confusion)
        for column, count in enumerate(counts)
    }
    assert [label.get_text() for label in axes.get_xticklabels()] == list(labels)
    supports = [f"{figure.label}\n({figure.support:,})" for figure in evaluation.per_label]
    assert [label.get_text() for label in axes.get_yticklabels()] == supports


def test_a_cell_is_readable_on_its_colour() -> None:
    axes = confusion_figure(measured(TEN)).axes[0]
    (image,) = axes.images
    for text in axes.texts:
        x, y = text.get_position()
        share = float(image.get_array()[round(y), round(x)])
        background = np.array(image.cmap(image.norm(share))[:3]) @ [0.2126, 0.7152, 0.0722]
        assert (text.get_color() == "white") == (background < 0.45), share


@pytest.mark.parametrize("draw", [confusion_figure, reliability_figure])
def test_titles_say_which_model_and_how_many_rows(draw: Any) -> None:
    evaluation = measured(rows=1_200)
    title = draw(evaluation).get_suptitle()
    assert f"{Artifact.load().identity} (int8)" in title
    assert "n = 1,200" in title


def test_the_reliability_diagram_has_the_bins_and_their_rows() -> None:
    evaluation = measured(rows=400)
    figure = reliability_figure(evaluation)
    above, below = figure.axes
    filled = [each for each in evaluation.calibration_bins if each.count]
    line = next(line for line in above.lines if line.get_marker() == "o")
    assert list(line.get_xdata()) == [each.confidence for each in filled]
    assert list(line.get_ydata()) == [each.accuracy for each in filled]
    assert [bar.get_height() for bar in below.patches] == [each.count for each in evaluation.calibration_bins]
    assert [text.get_text() for text in below.texts if text.get_text()] == [f"{each.count:,}" for each in filled]
    assert f"ECE {evaluation.calibration_error:.4f} (15 bins)" in figure.get_suptitle()


def test_names_cannot_break_a_picture(tmp_path: Path) -> None:
    labels = ("$\\frac{$", "日本語", "x" * 300, "a\nb\x00")
    evaluation = measured(labels)
    odd = dataclasses.replace(evaluation, measured=dataclasses.replace(evaluation.measured, model="$$@" + "1" * 300))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        first, _ = write_pictures(odd, tmp_path)
    assert size_of(first)[0] < 1_500


def test_one_row_is_enough(tmp_path: Path) -> None:
    write_pictures(measured(rows=1), tmp_path)


@pytest.mark.parametrize(
    ("share", "count", "low", "high"), [(0.5, 100, 0.4038, 0.5962), (0.0, 10, 0.0, 0.2775), (1.0, 10, 0.7225, 1.0)]
)
def test_the_interval_is_wilsons(share: float, count: int, low: float, high: float) -> None:
    assert wilson_interval(share, count) == (pytest.approx(low, abs=1e-4), pytest.approx(high, abs=1e-4))


def test_pictures_leave_pyplot_alone() -> None:
    before = "matplotlib.pyplot" in sys.modules
    reliability_figure(measured())
    assert ("matplotlib.pyplot" in sys.modules) == before


def test_a_folder_that_cannot_be_made_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="cannot be written"):
        write_pictures(measured(), tmp_path / "file" / "folder")


def test_without_matplotlib_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(UsageError, match=r"--plot needs matplotlib; .*\[evaluate\]'"):
        write_pictures(measured(), tmp_path)
