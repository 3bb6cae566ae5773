"""What the bundled model makes of plain English and of what it cannot read."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from worker import Classifier
from worker.modelkit.train.emoji import COMMON_EMOJI

ROWS = [
    json.loads(line)
    for line in (Path(__file__).parents[1] / "data" / "short_sentences.jsonl").read_text(encoding="utf-8").splitlines()
]


@pytest.fixture(scope="module")
def bundled() -> Classifier:
    return Classifier.load(provider="cpu")


@pytest.mark.parametrize("half", ["watched", "final"])
def test_most_plain_sentences_are_labelled_right(bundled: Classifier, half: str) -> None:
    rows = [row for row in ROWS if row["half"] == half]
    answers = bundled.predict([row["text"] for row in rows])
    right = sum(answer.label == row["label"] for answer, row in zip(answers, rows, strict=True))
    assert right >= 0.88 * len(rows)


@pytest.mark.parametrize(
    "text", ["这部电影非常好看", "Очень хороший фильм!", "كان الفيلم جميلا", "👾 🧬", "정말 좋은 영화"]
)
def test_what_it_cannot_read_gets_scores_near_the_prior(bundled: Classifier, text: str) -> None:
    (answer,) = bundled.predict([text])
    assert answer.unknown > 0.5
    assert answer.score == pytest.approx(0.5, abs=0.1)


def test_the_common_emoji_are_known(bundled: Classifier) -> None:
    assert [answer.unknown for answer in bundled.predict(list(COMMON_EMOJI))] == [0.0] * len(COMMON_EMOJI)
