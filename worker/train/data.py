"""The reviews, and the split that everything else respects."""

from __future__ import annotations

import gzip
import json
import random
from dataclasses import dataclass
from pathlib import Path

LABELS = ("neg", "pos")


@dataclass(frozen=True)
class LabelledReviews:
    """Texts and their labels, index by index (0 is ``neg``, 1 is ``pos``)."""

    texts: list[str]
    labels: list[int]


@dataclass(frozen=True)
class Split:
    """`train` teaches, `development` may be looked at while training, `validation` is measured once, at the end.

    `unlabelled` holds reviews without a label; the teacher labels them.
    """

    train: LabelledReviews
    development: LabelledReviews
    validation: LabelledReviews
    unlabelled: list[str]


def read_reviews(path: Path) -> list[dict[str, str]]:
    """The rows of a ``.jsonl.gz`` file, each with at least ``id``, ``text`` and ``label``."""
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def split_reviews(directory: Path, *, seed: int, validation_size: int = 4000, development_size: int = 1000) -> Split:
    """Split ``train.jsonl.gz`` by label with a seed of its own, so that the validation reviews never change.

    Identical texts (the set has some) stay on the training side only, so that no validation review was seen.
    """
    rows = read_reviews(directory / "train.jsonl.gz")
    unlabelled = [row["text"] for row in read_reviews(directory / "unsup.jsonl.gz")]
    copies: dict[str, int] = {}
    for text in [row["text"] for row in rows] + unlabelled:
        copies[text] = copies.get(text, 0) + 1

    generator = random.Random(seed)
    held_out: dict[str, list[dict[str, str]]] = {"validation": [], "development": []}
    train: list[dict[str, str]] = []
    for label in LABELS:
        of_label = [row for row in rows if row["label"] == label]
        generator.shuffle(of_label)
        unique = [row for row in of_label if copies[row["text"]] == 1]
        train.extend(row for row in of_label if copies[row["text"]] > 1)
        first, second = validation_size // 2, validation_size // 2 + development_size // 2
        held_out["validation"].extend(unique[:first])
        held_out["development"].extend(unique[first:second])
        train.extend(unique[second:])
    return Split(
        train=_labelled(train),
        development=_labelled(held_out["development"]),
        validation=_labelled(held_out["validation"]),
        unlabelled=unlabelled,
    )


def _labelled(rows: list[dict[str, str]]) -> LabelledReviews:
    return LabelledReviews([row["text"] for row in rows], [LABELS.index(row["label"]) for row in rows])
