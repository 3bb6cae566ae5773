"""Classifying texts in this process, without Kafka."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Self

import numpy as np
import numpy.typing as npt

from worker.inference.artifact import Artifact
from worker.inference.scores import prediction_of
from worker.inference.session import Session, SessionOptions, open_session
from worker.overflow import DEFAULT_OVERFLOW, Overflow, OverflowPolicy
from worker.records import Encoding, TokenIds
from worker.tokenization import Tokenizer

MAX_BATCH_TOKENS = {"cpu": 1024, "cuda": 32_768}
"""Padded tokens of one batch, by provider; at least one review, or window, however long."""


@dataclass(frozen=True)
class Classification:
    """What the model says of one text."""

    label: str
    score: float
    """Probability of `label`."""
    scores: dict[str, float]
    """Probability of each label."""
    tokens: int
    """Tokens that the model read, ``[CLS]`` and ``[SEP]`` included; of several windows, of all together."""
    truncated: bool
    """Something of the text was not read."""
    windows: int = 1
    """Windows that the text was read in; more than one only for a long text, with ``overflow="windows"``."""
    unknown: float = 0.0
    """Share of what was read that the vocabulary does not have, 0 to 1: the model cannot know what that says."""


class Classifier:
    """A model, ready to use. Safe to use from several threads.

    >>> Classifier.load().predict(["I really liked that movie!"])[0].label
    'pos'
    """

    def __init__(self, artifact: Artifact, tokeniser: Tokenizer, session: Session) -> None:
        self.artifact = artifact
        self.tokeniser = tokeniser
        self._session = session

    @classmethod
    def load(
        cls,
        path: str | Path | None = None,
        provider: Literal["auto", "cpu", "cuda"] = "auto",
        overflow: OverflowPolicy | Overflow = DEFAULT_OVERFLOW.policy,
    ) -> Self:
        """Load the model artifact in the folder `path`; None takes the bundled one.

        `overflow` says what is read of a text that is longer than the model: ``truncate`` its beginning, ``head_tail``
        beginning and end, ``windows`` all of it in overlapping windows. An `Overflow` says more exactly how.

        Raises `worker.errors.ArtifactError` where the artifact is not sound, and `worker.errors.UsageError` where the
        provider is not there, or `overflow` is not or does not fit the model.
        """
        artifact = Artifact.load(None if path is None else Path(path))
        reading = overflow if isinstance(overflow, Overflow) else Overflow(overflow)
        tokeniser = artifact.load_tokeniser().with_overflow(reading)
        return cls(artifact, tokeniser, open_session(artifact, SessionOptions(provider=provider)))

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels that the model knows, in its own order."""
        return self.artifact.labels

    @property
    def provider(self) -> str:
        """Where the model runs: ``cpu`` or ``cuda``."""
        return self._session.provider

    def predict(self, texts: Sequence[str]) -> list[Classification]:
        """Classify `texts`, in their order; of a long one is read what `load` was told.

        Raises `worker.errors.InferenceError` when the session fails, and TypeError for one text instead of several.
        """
        if isinstance(texts, str):
            raise TypeError("predict() takes a sequence of texts, not one text")
        encodings = self.tokeniser.encode_many(texts)
        scores = iter(self._scores([ids for encoding in encodings for ids in encoding.windows]))
        return [self._classification(encoding, [next(scores) for _ in encoding.windows]) for encoding in encodings]

    def _scores(self, rows: Sequence[TokenIds]) -> list[list[float]]:
        """The probabilities of each row, in their order."""
        scores: list[list[float]] = [[]] * len(rows)

        def compute(chosen: list[int]) -> None:
            arrays = _arrays([rows[index] for index in chosen], self.tokeniser.pad_id)
            for index, row in zip(chosen, self._session.predict(*arrays).tolist(), strict=True):
                scores[index] = row

        batches = list(self._batches(rows))
        concurrency = min(self._session.concurrency, len(batches))
        if concurrency < 2:
            for batch in batches:
                compute(batch)
            return scores
        threads = ThreadPoolExecutor(concurrency, thread_name_prefix="inference")
        try:
            for batch_done in [threads.submit(compute, batch) for batch in batches]:
                batch_done.result()
        finally:
            threads.shutdown(wait=False, cancel_futures=True)  # after an error nobody waits for the others
        return scores

    def _batches(self, rows: Sequence[TokenIds]) -> Iterator[list[int]]:
        """Indices of rows of like lengths, longest first, so that memory is claimed once."""
        budget = MAX_BATCH_TOKENS[self.provider]
        order = sorted(range(len(rows)), key=lambda index: len(rows[index]), reverse=True)
        start = 0
        while start < len(order):
            count = max(1, budget // len(rows[order[start]]))
            yield order[start : start + count]
            start += count

    def _classification(self, encoding: Encoding, windows: Sequence[Sequence[float]]) -> Classification:
        said = prediction_of(encoding, windows, self.artifact.calibration)
        scores = dict(zip(self.labels, said.scores, strict=True))
        label = max(scores, key=scores.__getitem__)
        return Classification(label, scores[label], scores, said.tokens, said.truncated, said.windows, said.unknown)


def _arrays(rows: Sequence[TokenIds], pad_id: int) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]:
    lengths = np.array([len(row) for row in rows], dtype=np.int32)
    ids = np.full((len(rows), int(lengths.max())), pad_id, dtype=np.int32)
    for index, row in enumerate(rows):
        ids[index, : len(row)] = row
    return ids, lengths
