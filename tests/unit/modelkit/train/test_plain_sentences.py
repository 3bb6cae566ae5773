"""The plain sentences that the bundled model learns from, and those that it is measured by."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path

from plain_forms import bare, forms

from worker.modelkit.train.data import SEED
from worker.modelkit.train.plain_sentences import NEGATIVE, NEITHER, POSITIVE, plain_sentences

MEASURED = [
    json.loads(line)
    for line in (Path(__file__).parents[3] / "data" / "short_sentences.jsonl").read_text(encoding="utf-8").splitlines()
]


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


def test_nothing_that_is_measured_by_can_be_learnt_from() -> None:
    expressions = forms()
    for sentence in MEASURED:
        text = bare(sentence["text"])
        made_by = [form for form, ways in expressions.items() if any(way.fullmatch(text) for way in ways)]
        assert (sentence["text"], made_by) == (sentence["text"], [])


def test_the_expressions_of_the_patterns_know_every_sentence_that_is_made() -> None:
    ways = [way for ways in forms().values() for way in ways]
    made = plain_sentences(1_000, seed=SEED)
    assert [sentence.text for sentence in made if not any(way.fullmatch(bare(sentence.text)) for way in ways)] == []


def test_articles_fit_and_nothing_is_very_superb() -> None:
    texts = [sentence.text.lower() for sentence in plain_sentences(20_000, seed=SEED)]
    assert [
        text for text in texts if re.search(r"\ba ([aeio](?!ne\b)|un(?!i)|up|ug)|\ban ([^aeiouh]|use|one\b)", text)
    ] == []
    assert [
        text for text in texts if re.search(r"\b(very|extremely|terribly) (superb|perfect|awful|useless)\b", text)
    ] == []
    assert [text for text in texts if re.search(r"\bgot (good|great|bad|awful)\b", text)] == []


def test_half_of_what_is_measured_by_was_looked_at_while_the_model_was_made() -> None:
    assert len(MEASURED) == len({row["text"] for row in MEASURED}) == 150
    assert Counter(row["half"] for row in MEASURED) == {"watched": 75, "final": 75}
    assert {row["label"] for row in MEASURED} == {"neg", "pos"}
