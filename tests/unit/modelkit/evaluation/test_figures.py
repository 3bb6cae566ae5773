"""Running figures against scikit-learn, whatever the labels, the scores and the portions that they come in."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, confusion_matrix, log_loss, precision_recall_fscore_support

from worker.modelkit.evaluation.metrics import (
    CALIBRATION_BINS,
    RunningFigures,
    averages,
    label_figures,
    zero_divisions,
)

Truths = npt.NDArray[np.int64]
Scores = npt.NDArray[np.float64]
Longer = npt.NDArray[np.bool_]
Rows = tuple[Truths, Scores, Longer]

FULL = 1_000


@st.composite
def measured_rows(draw: st.DrawFn) -> Rows:
    """Rows of 2 to 6 labels; thousandths, so that ties, certainty and impossible truths occur."""
    labels = draw(st.integers(2, 6))
    rows = draw(st.integers(1, 60))
    seed = draw(st.integers(0, 2**32 - 1))
    sharpness = draw(st.sampled_from([0.02, 0.3, 3.0]))
    generator = np.random.default_rng(seed)
    thousandths = generator.multinomial(FULL, generator.dirichlet([sharpness] * labels, rows))
    present = draw(st.integers(1, labels))
    return generator.integers(0, present, rows), thousandths / FULL, generator.random(rows) < 0.3


def running(rows: Rows, portions: int = 3) -> RunningFigures:
    truths, scores, longer = rows
    figures = RunningFigures(scores.shape[1])
    for part in np.array_split(np.arange(len(truths)), portions):
        figures.add(truths[part], scores[part], longer[part])
    return figures


@given(measured_rows(), st.integers(1, 5))
def test_confusion_and_accuracy_are_those_of_scikit_learn(rows: Rows, portions: int) -> None:
    truths, scores, _ = rows
    figures = running(rows, portions)
    predicted = scores.argmax(axis=1)
    expected = confusion_matrix(truths, predicted, labels=range(scores.shape[1]))
    assert figures.confusion.tolist() == expected.tolist()
    assert figures.accuracy == pytest.approx(accuracy_score(truths, predicted))
    assert figures.count == len(truths)


@given(measured_rows())
def test_precision_recall_and_f1_of_each_label_are_those_of_scikit_learn(rows: Rows) -> None:
    truths, scores, _ = rows
    labels = [str(index) for index in range(scores.shape[1])]
    figures = label_figures(labels, running(rows).confusion)
    expected = precision_recall_fscore_support(
        truths, scores.argmax(axis=1), labels=range(len(labels)), average=None, zero_division=0.0
    )
    found = np.array([(each.precision, each.recall, each.f1, each.support) for each in figures]).T
    assert found == pytest.approx(np.array(expected, dtype=float))


@given(measured_rows())
def test_the_mean_over_the_labels_that_occur_is_the_macro_average_of_scikit_learn(rows: Rows) -> None:
    truths, scores, _ = rows
    figures = label_figures([str(index) for index in range(scores.shape[1])], running(rows).confusion)
    found = averages([each for each in figures if each.support or each.predicted])
    expected = precision_recall_fscore_support(truths, scores.argmax(axis=1), average="macro", zero_division=0.0)
    assert (found.precision, found.recall, found.f1) == pytest.approx(expected[:3])


@given(measured_rows())
@settings(max_examples=50)
def test_the_loss_is_that_of_scikit_learn_where_no_truth_is_impossible(rows: Rows) -> None:
    truths, scores, longer = rows
    possible = (scores + 1e-4) / (scores + 1e-4).sum(axis=1, keepdims=True)
    expected = log_loss(truths, possible, labels=range(scores.shape[1]))
    assert running((truths, possible, longer)).loss == pytest.approx(expected)


def test_a_truth_that_the_model_holds_impossible_costs_much_but_not_infinitely() -> None:
    figures = running((np.array([0]), np.array([[0.0, 1.0]]), np.array([False])))
    assert figures.loss == pytest.approx(87.336, abs=1e-3)


@given(measured_rows())
def test_calibration_is_that_of_the_definition(rows: Rows) -> None:
    """Guo et al. (2017), equation 3, row by row."""
    truths, scores, _ = rows
    members: dict[int, list[tuple[float, bool]]] = {}
    for truth, row in zip(truths, scores, strict=True):
        confidence = float(max(row))
        place = min(int(confidence * CALIBRATION_BINS), CALIBRATION_BINS - 1)
        members.setdefault(place, []).append((confidence, int(np.argmax(row)) == truth))
    error = sum(
        len(each) / len(truths) * abs(np.mean([right for _, right in each]) - np.mean([sure for sure, _ in each]))
        for each in members.values()
    )
    figures = running(rows)
    assert figures.calibration_error == pytest.approx(error)
    bins = figures.calibration_bins()
    assert [each.count for each in bins] == [len(members.get(place, [])) for place in range(CALIBRATION_BINS)]
    for place, each in enumerate(bins):
        if each.count:
            assert each.confidence == pytest.approx(np.mean([sure for sure, _ in members[place]]))
            assert each.accuracy == pytest.approx(np.mean([right for _, right in members[place]]))
        else:
            assert each.confidence is None
            assert each.accuracy is None


def test_full_confidence_falls_into_the_last_bin() -> None:
    figures = running((np.array([0, 1]), np.array([[1.0, 0.0], [1.0, 0.0]]), np.array([False, False])))
    assert figures.calibration_bins()[-1].count == 2
    assert figures.calibration_error == pytest.approx(0.5)


def test_confidence_that_is_right_as_often_as_it_says_is_calibrated() -> None:
    sure = np.repeat([0.6, 0.9], 10)
    right = np.array([True] * 6 + [False] * 4 + [True] * 9 + [False])
    scores = np.stack([1 - sure, sure], axis=1)
    assert running((right.astype(np.int64), scores, right)).calibration_error == pytest.approx(0)


@given(measured_rows())
def test_longer_rows_and_the_others_are_counted_apart(rows: Rows) -> None:
    truths, scores, longer = rows
    right = scores.argmax(axis=1) == truths
    figures = running(rows)
    for part, chosen in ((figures.longer(), longer), (figures.others(), ~longer)):
        assert part.count == chosen.sum()
        assert part.accuracy == (pytest.approx(right[chosen].mean()) if chosen.any() else None)


def test_what_is_kept_does_not_grow_with_the_rows() -> None:
    one, many = RunningFigures(3), RunningFigures(3)
    row = (np.array([1]), np.array([[0.2, 0.5, 0.3]]), np.array([False]))
    one.add(*row)
    for _ in range(1_000):
        many.add(*row)

    def kept(figures: RunningFigures) -> int:
        return sum(value.nbytes if isinstance(value, np.ndarray) else 8 for value in vars(figures).values())

    assert kept(many) == kept(one)


def test_a_share_of_nothing_is_zero_and_explained() -> None:
    confusion = np.array([[5, 0, 0], [2, 0, 0], [0, 0, 0]])
    figures = label_figures(("bad", "fair", "good"), confusion)
    assert [each.precision for each in figures] == [pytest.approx(5 / 7), 0.0, 0.0]
    assert zero_divisions(figures) == (
        "precision of 'fair' is 0.0: it was never predicted",
        "precision of 'good' is 0.0: it was never predicted",
        "recall of 'good' is 0.0: no row has it",
        "F1 of 'good' is 0.0: it occurs nowhere",
    )
