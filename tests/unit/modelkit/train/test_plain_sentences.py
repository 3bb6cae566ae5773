"""The plain sentences that the bundled model learns from, and those that it is measured by."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path

import pytest

from worker.modelkit.train.data import SEED
from worker.modelkit.train.plain_sentences import NEGATIVE, NEITHER, POSITIVE, plain_sentences
from worker.modelkit.train.stages import STAGES

MEASURED = [
    json.loads(line)
    for line in (Path(__file__).parents[3] / "data" / "short_sentences.jsonl").read_text(encoding="utf-8").splitlines()
]


def _normalised(text: str) -> str:
    return " ".join(re.findall(r"[^\W_]+|[^\w\s.,!?;:'\"-]", text.lower()))


def test_the_same_seed_gives_the_same_sentences_and_another_one_others() -> None:
    assert plain_sentences(200, seed=1) == plain_sentences(200, seed=1)
    assert {made.text for made in plain_sentences(200, seed=1)} != {made.text for made in plain_sentences(200, seed=2)}


def test_sentences_are_whole_and_differ_and_both_labels_are_frequent() -> None:
    sentences = plain_sentences(5_000, seed=3)
    texts = [sentence.text for sentence in sentences]
    assert len(set(texts)) == len(texts)
    assert [text for text in texts if re.search(r"[{}<>|~()]|  |^\s|\s$", text)] == []
    counts = Counter(sentence.target for sentence in sentences)
    assert counts.keys() == {POSITIVE, NEGATIVE, NEITHER}
    assert min(counts[POSITIVE], counts[NEGATIVE]) > 1_500


@pytest.mark.parametrize("stage", [stage for stage in STAGES if stage.plain], ids=lambda stage: stage.name)
def test_nothing_that_is_measured_by_was_learnt_from(stage) -> None:
    measured = {_normalised(row["text"]) for row in MEASURED}
    learnt = plain_sentences(stage.plain, seed=SEED + stage.seed_offset)
    assert [sentence.text for sentence in learnt if _normalised(sentence.text) in measured] == []


def test_half_of_what_is_measured_by_was_looked_at_while_the_model_was_made() -> None:
    assert len(MEASURED) == len({row["text"] for row in MEASURED}) == 150
    assert Counter(row["half"] for row in MEASURED) == {"watched": 75, "final": 75}
    assert {row["label"] for row in MEASURED} == {"neg", "pos"}
