"""The model under measurement: a classifier whose batches are counted as they are computed."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from worker.inference.artifact import Artifact
from worker.inference.classifier import MAX_BATCH_TOKENS, Classifier
from worker.inference.scores import Scores
from worker.inference.session import Ids, Lengths, Session, SessionOptions, open_session
from worker.tokenization.overflow import DEFAULT_OVERFLOW, Overflow


class CountingSession:
    """A `Session` that counts what another one computes. Thread-safe, but for `start`."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._counting = threading.Lock()
        self._on_batch: Callable[[int], None] | None = None
        self.batches = 0
        self.tokens = 0
        """Tokens of reviews."""
        self.computed_tokens = 0
        """The same with padding."""

    def start(self, on_batch: Callable[[int], None]) -> None:
        """Count from zero; `on_batch` is told the rows of each batch once it is computed."""
        self.batches = self.tokens = self.computed_tokens = 0
        self._on_batch = on_batch

    @property
    def provider(self) -> str:
        """See `Session`."""
        return self._session.provider

    @property
    def concurrency(self) -> int:
        """See `Session`."""
        return self._session.concurrency

    def warm_up(self) -> None:
        """See `Session`; not counted."""
        self._session.warm_up()

    def predict(self, ids: Ids, lengths: Lengths) -> Scores:
        """See `Session`."""
        scores = self._session.predict(ids, lengths)
        with self._counting:
            self.batches += 1
            self.tokens += int(lengths.sum())
            self.computed_tokens += ids.size
            if self._on_batch is not None:
                self._on_batch(len(ids))
        return scores

    @property
    def padding_waste(self) -> float:
        """Share of the computed tokens that was padding; 0.0 before the first batch."""
        return 1 - self.tokens / self.computed_tokens if self.computed_tokens else 0.0


@dataclass(frozen=True)
class Subject:
    """A classifier that is ready, and the count of what it computes."""

    classifier: Classifier
    session: CountingSession

    @classmethod
    def load(cls, path: Path | None, options: SessionOptions, overflow: Overflow = DEFAULT_OVERFLOW) -> Self:
        """Load the artifact in `path` (None takes the bundled one) and warm it up; raises as `Classifier.load` does."""
        artifact = Artifact.load(path)
        session = CountingSession(open_session(artifact, options))
        session.warm_up()
        return cls(Classifier(artifact, artifact.load_tokeniser().with_overflow(overflow), session), session)

    @property
    def max_batch_tokens(self) -> int:
        """Padded tokens of one batch."""
        return MAX_BATCH_TOKENS[self.session.provider]
