"""The classifier: what the bundled model says, and in what form."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from albert_reference import write_tiny_artifact

from worker import Classification, Classifier
from worker.errors import ArtifactError

GOLDEN = json.loads((Path(__file__).parents[1] / "data" / "predictions.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def bundled() -> Classifier:
    return Classifier.load(provider="cpu")


@pytest.mark.parametrize("case", GOLDEN["cases"], ids=lambda case: case["text"][:30])
def test_the_bundled_model_says_what_it_said_when_it_was_made(bundled: Classifier, case: dict[str, Any]) -> None:
    (classification,) = bundled.predict([case["text"] * case.get("times", 1)])
    assert classification.label == case["label"]
    assert classification.scores == pytest.approx(case["scores"], abs=GOLDEN["tolerance"])
    assert (classification.tokens, classification.truncated) == (case["tokens"], case["truncated"])


def test_the_answers_come_in_the_order_of_the_texts(bundled: Classifier) -> None:
    cases = GOLDEN["cases"] * 3
    answers = bundled.predict([case["text"] * case.get("times", 1) for case in cases])
    assert [answer.label for answer in answers] == [case["label"] for case in cases]
    assert [answer.tokens for answer in answers] == [case["tokens"] for case in cases]


def test_a_classification_is_consistent_in_itself(bundled: Classifier) -> None:
    (answer,) = bundled.predict(["I really liked that movie!"])
    assert isinstance(answer, Classification)
    assert answer.label == max(answer.scores, key=lambda label: answer.scores[label])
    assert answer.score == answer.scores[answer.label]
    assert sum(answer.scores.values()) == pytest.approx(1, abs=1e-6)
    assert tuple(answer.scores) == bundled.labels == ("neg", "pos")


def test_no_texts_give_no_answers(bundled: Classifier) -> None:
    assert bundled.predict([]) == []


def test_one_text_instead_of_several_is_a_type_error(bundled: Classifier) -> None:
    with pytest.raises(TypeError, match="sequence of texts"):
        bundled.predict("I really liked that movie!")


def test_a_model_of_ones_own_is_loaded_from_its_folder(tmp_path: Path) -> None:
    folder = write_tiny_artifact(tmp_path / "own", id2label={"0": "bad", "1": "fair", "2": "good"})
    classifier = Classifier.load(str(folder), provider="cpu")
    (answer,) = classifier.predict(["A fine film."])
    assert set(answer.scores) == {"bad", "fair", "good"}


def test_a_folder_without_a_model_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"manifest\.json"):
        Classifier.load(tmp_path)
