"""The evaluation of an artifact on held-out reviews."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import numpy as np
import pytest
from albert_reference import write_tiny_artifact
from click.testing import CliRunner

from worker.classifier import Classifier
from worker.train.data import LabelledReviews
from worker.train.evaluate import calibration_error, evaluate, main

REVIEWS = LabelledReviews(
    ["A superb, moving film.", "Awful. Dull and badly acted.", "Wonderful! " * 400, "Terrible."], [1, 0, 1, 1]
)


def test_confidence_that_is_right_as_often_as_it_says_is_calibrated() -> None:
    confidence = np.repeat([0.6, 0.9], 10)
    right = np.array([True] * 6 + [False] * 4 + [True] * 9 + [False])
    assert calibration_error(confidence, right) == pytest.approx(0, abs=1e-4)


def test_confidence_that_is_never_right_has_an_error_of_its_own_size() -> None:
    assert calibration_error(np.full(10, 0.8), np.zeros(10, dtype=bool)) == pytest.approx(0.8)


def test_full_confidence_falls_into_the_last_bin() -> None:
    assert calibration_error(np.array([1.0, 1.0]), np.array([True, False])) == pytest.approx(0.5)


def test_the_bundled_model_is_compared_with_the_truth() -> None:
    evaluation = evaluate(Classifier.load(provider="cpu", overflow="truncate"), REVIEWS)
    assert evaluation.confusion == {"neg": {"neg": 1, "pos": 0}, "pos": {"neg": 1, "pos": 2}}
    assert (evaluation.accuracy, evaluation.accuracy_not_truncated) == (0.75, pytest.approx(2 / 3, abs=1e-4))
    assert (evaluation.truncated, evaluation.accuracy_truncated) == (1, 1.0)
    assert 0 < evaluation.calibration_error < 1


def _write_reviews(folder: Path) -> None:
    for name in ("train", "unsup"):
        with gzip.open(folder / f"{name}.jsonl.gz", "wt", encoding="utf-8") as file:
            for index in range(40):
                row = {"id": str(index), "text": f"{name} {index}", "label": "pos" if index % 2 else "neg"}
                file.write(json.dumps(row) + "\n")


def test_the_command_prints_and_writes_its_figures(tmp_path: Path) -> None:
    _write_reviews(tmp_path)
    result = CliRunner().invoke(main, ["--data", str(tmp_path), "--json", str(tmp_path / "figures.json")])
    assert result.exit_code == 0, result.output
    assert "accuracy" in result.output
    figures = json.loads((tmp_path / "figures.json").read_text())
    assert figures["reviews"] == 40
    assert sum(count for row in figures["confusion"].values() for count in row.values()) == 40


def test_an_artifact_with_other_labels_is_refused(tmp_path: Path) -> None:
    _write_reviews(tmp_path)
    artifact = write_tiny_artifact(tmp_path / "other", id2label={"0": "bad", "1": "good"})
    result = CliRunner().invoke(main, ["--data", str(tmp_path), "--artifact", str(artifact)])
    assert result.exit_code == 1
    assert "labels" in result.output
