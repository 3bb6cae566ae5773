"""An evaluation as a document and as lines."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pytest
from evaluation_parts import FakeSubject, labelled, source_of

from worker.modelkit.evaluation.evaluation import Evaluation
from worker.modelkit.evaluation.labels import LabelReader
from worker.modelkit.evaluation.report import document, lines
from worker.modelkit.evaluation.run import evaluate

PUBLISHED = [
    "eval_loss",
    "eval_accuracy",
    "eval_f1",
    "eval_precision",
    "eval_recall",
    "eval_runtime",
    "eval_samples_per_second",
    "eval_steps_per_second",
]
"""The members of the published benchmark of the model that this project descends from, in its order."""


def measured(labels: Sequence[str] = ("neg", "pos"), rows: int = 40, longer: bool = True) -> Evaluation:
    fake = FakeSubject(labels)
    texts = [f"review {number}" for number in range(rows - longer)] + ["long " * 600] * longer
    truths = [number % len(labels) for number in range(rows)]
    ticks = iter([0.0, 12.345678])
    return evaluate(fake.subject, source_of(labelled(texts, truths)), LabelReader(labels), clock=lambda: next(ticks))


def test_the_document_starts_with_the_published_members_in_their_order() -> None:
    members = document(measured())
    assert list(members)[: len(PUBLISHED)] == PUBLISHED
    assert all(isinstance(members[name], float) for name in PUBLISHED)
    assert list(members)[len(PUBLISHED) :] == [
        "averaging",
        "rows",
        "per_label",
        "confusion_matrix",
        "calibration",
        "length",
        "zero_divisions",
        "model",
        "data",
        "inference",
        "versions",
        "machine",
    ]


def test_speed_is_rounded_as_the_trainer_rounds_it() -> None:
    members = document(measured())
    assert members["eval_runtime"] == 12.3457
    assert members["eval_samples_per_second"] == round(40 / 12.345678, 3)
    assert members["eval_steps_per_second"] == round(members["inference"]["batches"] / 12.345678, 3)


@pytest.mark.parametrize("evaluation", [measured(), measured(rows=1, longer=False), measured(("a", "b", "c"), 2)])
def test_the_document_is_json_without_nan_and_the_same_every_time(evaluation: Evaluation) -> None:
    text = json.dumps(document(evaluation), allow_nan=False)
    assert text == json.dumps(document(evaluation), allow_nan=False)
    assert json.loads(text) == document(evaluation)


def test_what_has_no_rows_is_null() -> None:
    members = document(measured(rows=1, longer=False))
    assert members["length"]["longer"] == {"count": 0, "accuracy": None}
    empty = [each for each in members["calibration"]["bins"] if not each["count"]]
    assert len(empty) == 14
    assert all(each["confidence"] is None and each["accuracy"] is None for each in empty)


def test_the_document_adds_up() -> None:
    evaluation = measured(("bad", "fair", "good"))
    members = document(evaluation)
    matrix = members["confusion_matrix"]["true_by_predicted"]
    assert sum(map(sum, matrix)) == members["rows"]["measured"] == 40
    assert members["eval_accuracy"] == sum(matrix[index][index] for index in range(3)) / 40
    assert [members["per_label"][label]["support"] for label in ("bad", "fair", "good")] == [sum(row) for row in matrix]
    assert sum(each["count"] for each in members["calibration"]["bins"]) == 40
    assert members["length"]["longer"]["count"] + members["length"]["others"]["count"] == 40


def test_the_document_says_what_was_measured_and_with_what() -> None:
    members = document(measured())
    assert members["model"]["identity"].startswith("albert-imdb-small@")
    assert members["model"]["precision"] == "int8"
    assert members["data"] == {"file": "reviews.jsonl"}
    assert members["inference"]["provider"] == "cpu"
    assert {"python", "reviews-worker", "numpy"} <= members["versions"].keys()
    assert members["machine"]["cores"] >= 1
    assert members["machine"]["gpu"] is None


def test_the_lines_start_with_the_published_figures() -> None:
    evaluation = measured()
    members = document(evaluation)
    shown = [line.split() for line in lines(evaluation)]
    assert [words[0] for words in shown[2:10]] == PUBLISHED
    assert [float(words[1]) for words in shown[2:10]] == [pytest.approx(members[name], rel=0.01) for name in PUBLISHED]


def test_the_lines_say_whose_f1_it_is() -> None:
    assert any("those of the label 'pos'" in line for line in lines(measured()))
    macro = list(lines(measured(("bad", "fair", "good"))))
    assert "Precision, recall and F1 are macro averages: unweighted means over 3 labels." in macro


def test_the_lines_say_which_labels_are_in_no_average() -> None:
    evaluation = measured(("a", "b", "c", "d"), rows=1, longer=False)
    absent = [figure.label for figure in evaluation.per_label if not figure.support and not figure.predicted]
    assert absent
    (line,) = [line for line in lines(evaluation) if "macro averages" in line]
    assert line.endswith(f"never predicted: {', '.join(absent)}.")
    assert all(f"F1 of {label!r} is 0.0: it occurs nowhere" in lines(evaluation) for label in absent)


def test_the_lines_are_plain_and_complete() -> None:
    evaluation = measured()
    text = "\n".join(lines(evaluation))
    assert text.isascii()
    assert "nan" not in text.split()
    for part in (
        f"Calibration error (ECE, 15 bins): {evaluation.calibration_error:.4f}",
        "true \\ predicted",
        "up to 512 tokens",
        "longer than the model",
        "rows: 40 read, 40 measured; left out: 0 blank, 0 without a label, 0 with a label that the model does not know",
        "versions: python ",
        "machine: ",
    ):
        assert part in text
