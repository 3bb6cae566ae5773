"""Classifying texts in this process, without Kafka."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Self

import numpy as np
import numpy.typing as npt

from worker.inference.artifact import Artifact
from worker.inference.session import Session, SessionOptions, open_session
from worker.records import Encoding
from worker.tokenization import Tokenizer

MAX_BATCH_TOKENS = {"cpu": 1024, "cuda": 32_768}
"""Padded tokens of one batch, by provider; at least one review however long."""


@dataclass(frozen=True)
class Classification:
    """What the model says of one text."""

    label: str
    score: float
    """Probability of `label`."""
    scores: dict[str, float]
    """Probability of each label."""
    tokens: int
    """Tokens that the model read, ``[CLS]`` and ``[SEP]`` included."""
    truncated: bool
    """The text was longer than the model reads; only its beginning counted."""


class Classifier:
    """A model, ready to use. Safe to use from several threads.

    >>> Classifier.load().predict(["I really liked that movie!"])[0].label
    'pos'
    """

    def __init__(self, artifact: Artifact, tokeniser: Tokenizer, session: Session) -> None:
        self.artifact = artifact
        self._tokeniser = tokeniser
        self._session = session

    @classmethod
    def load(cls, path: str | Path | None = None, provider: Literal["auto", "cpu", "cuda"] = "auto") -> Self:
        """Load the model artifact in the folder `path`; None takes the bundled one.

        Raises `worker.errors.ArtifactError` where the artifact is not sound, and `worker.errors.UsageError` where the
        provider is not there.
        """
        artifact = Artifact.load(None if path is None else Path(path))
        return cls(artifact, artifact.load_tokeniser(), open_session(artifact, SessionOptions(provider=provider)))

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels that the model knows, in its own order."""
        return self.artifact.labels

    @property
    def provider(self) -> str:
        """Where the model runs: ``cpu`` or ``cuda``."""
        return self._session.provider

    def predict(self, texts: Sequence[str]) -> list[Classification]:
        """Classify `texts`, in their order; each is truncated to what the model can read.

        Raises `worker.errors.InferenceError` when the session fails, and TypeError for one text instead of several.
        """
        if isinstance(texts, str):
            raise TypeError("predict() takes a sequence of texts, not one text")
        encodings = self._tokeniser.encode_many(texts)
        results: list[Classification | None] = [None] * len(encodings)
        for chosen in self._batches(encodings):
            rows = [encodings[index] for index in chosen]
            scores = self._session.predict(*_arrays(rows, self._tokeniser.pad_id)).tolist()
            for index, encoding, row in zip(chosen, rows, scores, strict=True):
                results[index] = self._classification(encoding, row)
        return [result for result in results if result is not None]

    def _batches(self, encodings: Sequence[Encoding]) -> Iterator[list[int]]:
        """Indices of encodings of like lengths, longest first, so that memory is claimed once."""
        budget = MAX_BATCH_TOKENS[self.provider]
        order = sorted(range(len(encodings)), key=lambda index: len(encodings[index]), reverse=True)
        start = 0
        while start < len(order):
            count = max(1, budget // len(encodings[order[start]]))
            yield order[start : start + count]
            start += count

    def _classification(self, encoding: Encoding, row: Sequence[float]) -> Classification:
        scores = dict(zip(self.labels, row, strict=True))
        label = max(scores, key=scores.__getitem__)
        return Classification(label, scores[label], scores, len(encoding), encoding.truncated)


def _arrays(rows: Sequence[Encoding], pad_id: int) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]:
    lengths = np.array([len(row) for row in rows], dtype=np.int32)
    ids = np.full((len(rows), int(lengths.max())), pad_id, dtype=np.int32)
    for index, row in enumerate(rows):
        ids[index, : len(row)] = row.ids
    return ids, lengths
