"""The reviews, and the split that everything else respects.

``python -m worker.modelkit.train.data --data DIRECTORY --out FILE.jsonl.gz`` writes the held-out reviews, for
``reviews-worker model evaluate``: none of them was trained on or used to choose anything.
"""

from __future__ import annotations

import gzip
import json
import random
from dataclasses import dataclass, replace
from itertools import zip_longest
from math import ceil
from pathlib import Path

import click

LABELS = ("neg", "pos")
SEED = 20261123
"""That of the bundled model's split, and of all that was random in its training."""
REVIEW_FILES = LABELLED, UNLABELLED = ("train.jsonl.gz", "unsup.jsonl.gz")
VALIDATION_SIZE, DEVELOPMENT_SIZE = 4000, 1000


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


def split_reviews(
    directory: Path, *, seed: int, validation_size: int = VALIDATION_SIZE, development_size: int = DEVELOPMENT_SIZE
) -> Split:
    """Split ``train.jsonl.gz`` by label with a seed of its own, so that the validation reviews never change.

    Identical texts (the set has some) stay on the training side only, so that no validation review was seen.
    """
    rows = _split_rows(directory, seed, validation_size, development_size)
    return Split(
        train=_labelled(rows.train),
        development=_labelled(rows.development),
        validation=_labelled(rows.validation),
        unlabelled=rows.unlabelled,
    )


def limited(split: Split, limit: int) -> Split:
    """`split` for a trial: `limit` of the reviews that teach, evenly spaced, and as large a share of the unlabelled."""
    count = len(split.train.texts)
    if not 0 < limit < count:
        return split
    chosen = [place * count // limit for place in range(limit)]
    labelled = LabelledReviews(
        [split.train.texts[index] for index in chosen], [split.train.labels[index] for index in chosen]
    )
    return replace(split, train=labelled, unlabelled=split.unlabelled[: ceil(len(split.unlabelled) * limit / count)])


def held_out_rows(directory: Path, *, seed: int, validation_size: int = VALIDATION_SIZE) -> list[dict[str, str]]:
    """The validation reviews of `split_reviews` with ``id``, ``text`` and ``label``, one of each label in turn."""
    rows = _split_rows(directory, seed, validation_size, DEVELOPMENT_SIZE).validation
    turns = zip_longest(*([row for row in rows if row["label"] == label] for label in LABELS))
    return [{name: row[name] for name in ("id", "text", "label")} for turn in turns for row in turn if row]


@dataclass(frozen=True)
class _Rows:
    """The split, as rows of the files."""

    train: list[dict[str, str]]
    development: list[dict[str, str]]
    validation: list[dict[str, str]]
    unlabelled: list[str]


def _split_rows(directory: Path, seed: int, validation_size: int, development_size: int) -> _Rows:
    rows = read_reviews(directory / LABELLED)
    unlabelled = [row["text"] for row in read_reviews(directory / UNLABELLED)]
    copies: dict[str, int] = {}
    for text in [row["text"] for row in rows] + unlabelled:
        copies[text] = copies.get(text, 0) + 1

    generator = random.Random(seed)
    split = _Rows([], [], [], unlabelled)
    for label in LABELS:
        of_label = [row for row in rows if row["label"] == label]
        generator.shuffle(of_label)
        unique = [row for row in of_label if copies[row["text"]] == 1]
        split.train.extend(row for row in of_label if copies[row["text"]] > 1)
        first, second = validation_size // 2, validation_size // 2 + development_size // 2
        split.validation.extend(unique[:first])
        split.development.extend(unique[first:second])
        split.train.extend(unique[second:])
    return split


def _labelled(rows: list[dict[str, str]]) -> LabelledReviews:
    return LabelledReviews([row["text"] for row in rows], [LABELS.index(row["label"]) for row in rows])


@click.command()
@click.option(
    "--data",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    required=True,
    help="Folder with train.jsonl.gz and unsup.jsonl.gz.",
)
@click.option(
    "--out", type=click.Path(dir_okay=False, path_type=Path), required=True, help="FILE.jsonl.gz to write them to."
)
@click.option("--seed", default=SEED, show_default=True, help="Seed of the split; that of training.")
def main(data: Path, out: Path, seed: int) -> None:
    """Write the held-out reviews, for `reviews-worker model evaluate`."""
    rows = held_out_rows(data, seed=seed)
    out.parent.mkdir(parents=True, exist_ok=True)
    with out.open("wb") as raw, gzip.GzipFile("", "wb", fileobj=raw, mtime=0) as file:  # the same bytes every time
        file.writelines((json.dumps(row, ensure_ascii=False) + "\n").encode() for row in rows)
    click.echo(f"{len(rows)} reviews written to {out}")


if __name__ == "__main__":
    main()
