"""The classifier: what the bundled model says, and in what form."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from albert_reference import write_tiny_artifact

from worker import Classification, Classifier, Overflow
from worker.errors import ArtifactError, UsageError
from worker.inference.scores import pooled

GOLDEN = json.loads((Path(__file__).parents[2] / "data" / "predictions.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def bundled() -> Classifier:
    return Classifier.load(provider="cpu", overflow="truncate")


@pytest.mark.parametrize("case", GOLDEN["cases"], ids=lambda case: case["text"][:30])
def test_the_bundled_model_says_what_it_said_when_it_was_made(bundled: Classifier, case: dict[str, Any]) -> None:
    (classification,) = bundled.predict([case["text"] * case.get("times", 1)])
    assert classification.label == case["label"]
    assert classification.scores == pytest.approx(case["scores"], abs=GOLDEN["tolerance"])
    assert (classification.tokens, classification.truncated) == (case["tokens"], case["truncated"])
    assert classification.unknown == pytest.approx(case["unknown"], abs=5e-4)


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


MIXED = "I liked the first half. " * 60 + "The second half is a dull, lifeless waste of time. " * 60


def test_windows_of_a_long_text_are_put_together_by_their_length(bundled: Classifier) -> None:
    tokeniser = bundled.artifact.load_tokeniser().with_overflow(Overflow("windows", 64, 8))
    encoding = tokeniser.encode(MIXED)
    classifier = Classifier.load(provider="cpu", overflow="windows")

    answer, short = classifier.predict([MIXED, "I really liked that movie!"])

    rows = []
    for ids in encoding.windows:
        lengths = np.array([len(ids)], dtype=np.int32)
        rows.append(classifier._session.predict(ids[None, :], lengths)[0].tolist())
    expected = pooled(rows, [len(ids) - 2 for ids in encoding.windows])
    assert tuple(answer.scores.values()) == pytest.approx(expected, abs=GOLDEN["tolerance"])
    assert (answer.windows, answer.truncated) == (len(encoding.windows), False)
    assert answer.windows > 1
    assert answer.tokens == len(encoding) > 512
    assert (short.windows, short.truncated) == (1, False)


def test_what_the_model_says_of_a_long_text_depends_on_what_is_read(bundled: Classifier) -> None:
    text = "A charming, funny and touching little gem. " * 60 + "A dull, lifeless waste of two hours. " * 60
    (head,) = bundled.predict([text])
    (tail,) = Classifier.load(provider="cpu", overflow=Overflow("head_tail", head_share=0.1)).predict([text])
    assert (head.label, tail.label) == ("pos", "neg")
    assert (head.tokens, tail.tokens, head.windows, tail.windows) == (512, 512, 1, 1)
    assert head.truncated
    assert tail.truncated


def test_a_text_that_fits_is_read_alike_whatever_happens_to_others(bundled: Classifier) -> None:
    text = "A film that I did not expect to like."
    answers = [Classifier.load(provider="cpu", overflow=policy).predict([text]) for policy in ("head_tail", "windows")]
    assert answers == [bundled.predict([text])] * 2


def test_an_overflow_that_is_not_there_or_does_not_fit_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="truncate, head_tail, windows"):
        Classifier.load(overflow="cut")  # type: ignore[arg-type]
    folder = write_tiny_artifact(tmp_path / "own")
    with pytest.raises(UsageError, match="window_overlap_tokens is 500"):
        Classifier.load(folder, overflow=Overflow("windows", window_overlap_tokens=500))


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
