"""The golden set of an artifact: texts, their tokens, and what the model said of them when it was imported.

A worker computes it before it takes traffic, so that a provider, a processor or a library that computes something else
is found out by a line in the log and not by wrong labels on the output topic.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, Self

import numpy as np
import numpy.typing as npt

from worker.errors import ArtifactError, NotFiniteError
from worker.tokenization.tokenizer import Tokenizer

GOLDEN = "golden.json"


class Predictor(Protocol):
    """What the check asks of a session; see `worker.inference.session.Session`."""

    @property
    def provider(self) -> str: ...

    def predict(self, ids: npt.NDArray[np.int32], lengths: npt.NDArray[np.int32]) -> npt.NDArray[np.float32]: ...


@dataclass(frozen=True)
class GoldenReview:
    """One text of the set."""

    text: str
    ids: tuple[int, ...]
    """Its tokens, ``[CLS]`` and ``[SEP]`` included."""
    scores: tuple[float, ...]
    """What the model said of it alone: a probability for each label."""


@dataclass(frozen=True)
class GoldenSet:
    """See the module."""

    tolerance: float
    """Largest difference of a probability that counts as the same."""
    reviews: tuple[GoldenReview, ...]
    path: Path | None = None

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read ``golden.json``; raises `ArtifactError` where it is not one."""
        try:
            document = json.loads(path.read_bytes())
            reviews = tuple(
                GoldenReview(str(review["text"]), tuple(map(int, review["ids"])), tuple(map(float, review["scores"])))
                for review in document["reviews"]
            )
            golden = cls(float(document["tolerance"]), reviews, path)
        except FileNotFoundError:
            raise ArtifactError(f"{path}: the file is missing; the artifact is not whole") from None
        except (OSError, ValueError, KeyError, TypeError, OverflowError) as error:
            raise ArtifactError(f"{path}: not a golden set ({type(error).__name__}: {error})") from error
        if not reviews:
            raise ArtifactError(f"{path}: a golden set without reviews proves nothing")
        if not 0 <= golden.tolerance < 1 or len({len(review.scores) for review in reviews}) > 1:
            raise ArtifactError(f"{path}: not a golden set (its tolerance or its scores are none)")
        return golden

    def as_json(self) -> dict[str, Any]:
        """What `load` reads."""
        rows = [
            {"text": review.text, "ids": list(review.ids), "scores": list(review.scores)} for review in self.reviews
        ]
        return {"tolerance": self.tolerance, "reviews": rows}

    def check(self, tokeniser: Tokenizer, session: Predictor) -> float:
        """Compute the set, each review alone and those of like length together; answers the largest difference.

        Raises `ArtifactError` for other tokens, for values that are not finite, and for a probability that differs by
        more than the tolerance. Raises `InferenceError` where the session fails for another reason.
        """
        for number, review in enumerate(self.reviews):
            if tuple(tokeniser.encode(review.text).ids.tolist()) != review.ids:
                raise self._error(
                    f"text {number} gives other tokens than when the model was imported; import it again with this"
                    " version of the worker"
                )
        worst = 0.0
        for group in self._groups():
            worst = max(worst, self._check_group(group, tokeniser.pad_id, session))
        return worst

    def _groups(self) -> list[list[int]]:
        """Each review alone, then pairs of neighbours in length: padding has to change nothing."""
        order = sorted(range(len(self.reviews)), key=lambda number: len(self.reviews[number].ids))
        pairs = [list(order[start : start + 2]) for start in range(0, len(order) - 1, 2)]
        return [*([number] for number in order), *pairs]

    def _check_group(self, group: Sequence[int], pad_id: int, session: Predictor) -> float:
        reviews = [self.reviews[number] for number in group]
        lengths = np.array([len(review.ids) for review in reviews], dtype=np.int32)
        ids = np.full((len(reviews), int(lengths.max())), pad_id, dtype=np.int32)
        for row, review in enumerate(reviews):
            ids[row, : len(review.ids)] = review.ids
        try:
            scores = session.predict(ids, lengths)
        except NotFiniteError as error:
            raise self._error(
                f"the model puts out values that are not finite on the provider {session.provider};"
                " import it with --precision fp32"
            ) from error
        if scores.shape[1] != len(reviews[0].scores):
            raise self._error(f"it has {len(reviews[0].scores)} scores for each text, and the model {scores.shape[1]}")
        differences = np.abs(scores - np.array([review.scores for review in reviews])).max(axis=1)
        for number, review, row, difference in zip(group, reviews, scores, differences, strict=True):
            if not difference <= self.tolerance:
                label = int(np.argmax(review.scores))
                raise self._error(
                    f"text {number}: the model gives label {label} a probability of {row[label]:.4f} on the provider"
                    f" {session.provider}, and gave it {review.scores[label]:.4f} when it was imported (tolerance"
                    f" {self.tolerance}); try another --provider, or import the model again here"
                )
        return float(differences.max())

    def _error(self, text: str) -> ArtifactError:
        return ArtifactError(f"{self.path or GOLDEN}: {text}")
