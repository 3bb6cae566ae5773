"""A subject whose scores follow from the tokens alone, with the bundled vocabulary, and rows to measure it on."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import numpy.typing as npt
from fakes import FakeSession

from worker.inference.artifact import Artifact
from worker.inference.classifier import Classifier
from worker.modelkit.evaluation.rows import Columns, Row, RowSource
from worker.modelkit.evaluation.sources import open_rows
from worker.modelkit.evaluation.subject import CountingSession, Subject
from worker.tokenization.tokenizer import Tokenizer

LABELS = ("neg", "pos")


class FakeSubject:
    """`subject` is to be measured; `session` computes for it; `scores` is what it says of a text."""

    def __init__(self, labels: Sequence[str] = LABELS) -> None:
        artifact = dataclasses.replace(Artifact.load(), labels=tuple(labels))
        self.tokeniser: Tokenizer = artifact.load_tokeniser()
        self.session = FakeSession(len(labels))
        counting = CountingSession(self.session)
        self.subject = Subject(Classifier(artifact, self.tokeniser, counting), counting)

    def scores(self, texts: Sequence[str]) -> npt.NDArray[np.float64]:
        encodings = self.tokeniser.encode_many(texts)
        return np.array([self.session.expected(encoding).scores for encoding in encodings], dtype=np.float64)


def source_of(rows: Iterable[Row]) -> RowSource:
    return RowSource(Path("reviews.jsonl"), iter(rows), lambda: 1.0)


def labelled(texts: Sequence[str], labels: Sequence[object]) -> list[Row]:
    pairs = zip(texts, labels, strict=True)
    return [Row(f"line {number}", text, label) for number, (text, label) in enumerate(pairs, 1)]


@contextmanager
def opened(path: Path, text: str = "text", label: str = "label") -> Iterator[RowSource]:
    with open_rows(path, Columns(text, label)) as source:
        yield source


def read(path: Path, text: str = "text", label: str = "label") -> list[Row]:
    """All rows of a small file."""
    with opened(path, text, label) as source:
        return list(source.rows)
