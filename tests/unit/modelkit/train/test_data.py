"""The split of the reviews: nothing that is measured on was learnt from."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from evaluation_parts import read

from worker.modelkit.train.data import LabelledReviews, Split, held_out_rows, limited, main, split_reviews

TWICE = "a review that the set has twice"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("reviews")
    labelled = [
        {"id": f"{label}{index}", "text": TWICE if index < 2 else f"{label} review {index}", "label": label}
        for label in ("neg", "pos")
        for index in range(50)
    ]
    unlabelled = [{"id": "u0", "text": "neg review 7", "label": "unsup"}, {"id": "u1", "text": "u", "label": "unsup"}]
    for name, rows in (("train", labelled), ("unsup", unlabelled)):
        with gzip.open(folder / f"{name}.jsonl.gz", "wt", encoding="utf-8") as file:
            file.writelines(json.dumps(row) + "\n" for row in rows)
    return folder


def _split(folder: Path, seed: int = 1) -> Split:
    return split_reviews(folder, seed=seed, validation_size=20, development_size=10)


def _pairs(reviews: LabelledReviews) -> set[tuple[str, int]]:
    return set(zip(reviews.texts, reviews.labels, strict=True))


def test_every_labelled_review_is_in_one_part(folder: Path) -> None:
    split = _split(folder)
    parts = [split.train, split.development, split.validation]
    assert [len(part.texts) for part in parts] == [70, 10, 20]
    assert sum(len(_pairs(part)) for part in parts) == len(set().union(*map(_pairs, parts))) == 98
    assert split.unlabelled == ["neg review 7", "u"]


def test_the_held_out_parts_have_as_many_of_each_label(folder: Path) -> None:
    split = _split(folder)
    assert sum(split.validation.labels) == 10
    assert sum(split.development.labels) == 5


def test_a_text_that_occurs_twice_is_never_held_out(folder: Path) -> None:
    for seed in range(20):
        split = _split(folder, seed)
        held_out = split.validation.texts + split.development.texts
        assert TWICE not in held_out
        assert "neg review 7" not in held_out  # the unlabelled reviews have it too


def test_the_split_is_the_seeds_alone(folder: Path) -> None:
    assert _split(folder) == _split(folder)
    assert _split(folder).validation != _split(folder, seed=2).validation


@pytest.mark.parametrize("limit", [1, 3, 15_000, 19_999])
def test_a_limit_takes_as_many_reviews_as_it_says_spread_evenly(limit: int) -> None:
    none = LabelledReviews([], [])
    whole = Split(LabelledReviews([str(n) for n in range(20_000)], list(range(20_000))), none, none, ["u"] * 50_000)
    split = limited(whole, limit)
    assert [str(label) for label in split.train.labels] == split.train.texts
    assert len(set(split.train.labels)) == limit
    assert split.train.labels == sorted(split.train.labels)
    steps = [second - first for first, second in zip(split.train.labels, split.train.labels[1:], strict=False)]
    assert max(steps, default=0) - min(steps, default=0) <= 1
    assert len(split.unlabelled) == -(-50_000 * limit // 20_000)


def test_no_limit_and_one_that_is_too_large_take_all(folder: Path) -> None:
    assert limited(_split(folder), 0) == limited(_split(folder), 71) == _split(folder)


def test_the_held_out_rows_are_the_validation_reviews_one_of_each_label_in_turn(folder: Path) -> None:
    rows = held_out_rows(folder, seed=1, validation_size=20)
    labels = [row["label"] for row in rows]
    assert labels == ["neg", "pos"] * 10
    assert {(row["text"], labels.index(row["label"])) for row in rows} == _pairs(_split(folder).validation)
    assert all(row["id"].startswith(row["label"]) for row in rows)


def test_the_command_writes_rows_that_can_be_measured_on_the_same_bytes_every_time(
    folder: Path, tmp_path: Path
) -> None:
    paths = [tmp_path / "one.jsonl.gz", tmp_path / "two.jsonl.gz"]
    for path in paths:
        result = CliRunner().invoke(main, ["--data", str(folder), "--out", str(path), "--seed", "3"])
        assert result.exit_code == 0, result.output
        assert result.output == f"95 reviews written to {path}\n"
    assert paths[0].read_bytes() == paths[1].read_bytes()
    rows = held_out_rows(folder, seed=3)
    assert [(row.text, row.label) for row in read(paths[0])] == [(row["text"], row["label"]) for row in rows]
