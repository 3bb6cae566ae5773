"""Lengths of reviews in tokens: made ones, and real ones where the data is at hand."""

from __future__ import annotations

import gzip
import json
import random
from pathlib import Path

MAX_LENGTH = 512
TOKENS_PER_WORD = 1.3
REVIEWS = Path(__file__).parents[2] / "shared" / "imdb" / "train.jsonl.gz"
"""The reviews lie beside the repository, in one file of 25,000 lines sorted by label."""


def lognormal_lengths(count: int, seed: int = 1) -> list[int]:
    """Lengths spread as in film reviews: about 250 tokens in the mean, one in nine cut at 512."""
    source = random.Random(seed)
    return [max(8, min(MAX_LENGTH, round(source.lognormvariate(5.45, 0.6)))) for _ in range(count)]


def review_texts(count: int, seed: int = 1) -> list[str]:
    """Real reviews, drawn at random; raises FileNotFoundError where the data is missing."""
    with gzip.open(REVIEWS, "rt", encoding="utf-8") as lines:
        texts = [json.loads(line)["text"] for line in lines]
    return random.Random(seed).sample(texts, count)


def word_lengths(count: int) -> list[int]:
    """Real lengths, estimated from the number of words, so that no vocabulary is needed."""
    return [min(MAX_LENGTH, 2 + round(len(text.split()) * TOKENS_PER_WORD)) for text in review_texts(count)]
