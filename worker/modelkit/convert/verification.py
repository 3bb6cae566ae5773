"""Whether an artifact says what its source says, text by text."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from worker.inference.calibration import UNCALIBRATED, Calibration
from worker.inference.classifier import Classifier
from worker.inference.scores import Scores, probabilities
from worker.modelkit.convert.artifact_writer import AS_IT_IS
from worker.modelkit.convert.checkpoint import Source
from worker.modelkit.convert.reference import Reference, reference_ids, reference_of
from worker.modelkit.convert.shape import CheckpointError
from worker.records import Encoding


@dataclass(frozen=True)
class Limits:
    """What counts as the same."""

    difference: float
    """Largest difference of a probability."""
    agreement: float
    """Smallest share of texts with the same label; below 1, one text may differ however few they are."""

    def moved(self, texts: int) -> float:
        """How many of so many texts may have another label."""
        return 0 if self.agreement >= 1 else max(1, texts * (1 - self.agreement))


_LIMITS = {
    "fp32": Limits(1e-5, 1.0),
    "fp16": Limits(0.01, 0.995),
    "int8": Limits(0.1, 0.995),
    AS_IT_IS: Limits(0.1, 0.995),
}


def limits_of(precision: str) -> Limits:
    """What usually counts as the same in this precision; raises `CheckpointError` for one that is not known.

    int8 moves probabilities of undecided reviews by some hundredths; what counts there is the labels. A graph that is
    used as it is may be quantised too: then its answers depend on the company in a batch.
    """
    if precision not in _LIMITS:
        raise CheckpointError(f"the artifact's precision is {precision!r}; known are {', '.join(_LIMITS)}")
    return _LIMITS[precision]


@dataclass(frozen=True)
class Verification:
    """What came out of a comparison."""

    texts: int
    largest_difference: float
    """Of a probability."""
    mean_difference: float
    """Mean over the texts of the largest difference of each."""
    moved: int
    """Texts with another label."""
    other_tokens: int | None
    """Texts with other tokens; None where nobody but us could say them (transformers is not installed)."""
    reference: str
    reference_per_second: float
    """Texts a second, one after the other."""
    artifact_per_second: float
    """Texts a second, in our own batches, tokenising included."""

    @property
    def agreement(self) -> float:
        """Share of texts with the same label."""
        return 1 - self.moved / self.texts

    def faults(self, limits: Limits) -> list[str]:
        """What is not within `limits`, a line each."""
        faults = []
        if not self.largest_difference <= limits.difference:
            faults.append(f"a probability differs by {self.largest_difference:.2g}; the limit is {limits.difference:g}")
        if self.moved > limits.moved(self.texts):
            faults.append(f"{self.agreement:.2%} of the labels are the same; the limit is {limits.agreement:.2%}")
        if self.other_tokens:
            faults.append(f"{self.other_tokens} texts have other tokens")
        return faults


def verify(
    classifier: Classifier, source: Source, texts: Sequence[str], reference: Reference | None = None
) -> Verification:
    """Compute `texts` by both.

    Raises `CheckpointError` where they cannot be compared, and `worker.errors.InferenceError` where one of them fails.
    """
    if classifier.labels != source.labels:
        raise CheckpointError(
            f"the artifact's labels are {', '.join(classifier.labels)}, those of the source {', '.join(source.labels)};"
            " name the source's with --labels"
        )
    reference = reference or reference_of(source)
    encodings = source.tokeniser().encode_many(texts)
    reference.scores(encodings[:1])  # what is done once is not counted
    classifier.predict(texts[:1])
    started = time.perf_counter()
    expected = reference.scores(encodings)
    reference_ended = time.perf_counter()
    expected = _calibrated(expected, encodings, classifier.artifact.calibration)
    answers = classifier.predict(texts)
    ended = time.perf_counter()
    scores = np.array([[answer.scores[label] for label in source.labels] for answer in answers])
    differences = np.abs(scores - expected).max(axis=1)
    moved = scores.argmax(axis=1) != expected.argmax(axis=1)
    return Verification(
        texts=len(texts),
        largest_difference=float(differences.max()),
        mean_difference=float(differences.mean()),
        moved=int(moved.sum()),
        other_tokens=_other_tokens(classifier, source, texts),
        reference=reference.name,
        reference_per_second=len(texts) / (reference_ended - started),
        artifact_per_second=len(texts) / (ended - reference_ended),
    )


def _calibrated(scores: Scores, encodings: Sequence[Encoding], calibration: Calibration) -> Scores:
    """What the source would say with the artifact's calibration, which no source has."""
    if calibration == UNCALIBRATED:
        return scores
    with np.errstate(divide="ignore"):
        logits = np.maximum(np.log(scores), np.finfo(np.float32).min)
    tempered = probabilities(logits, calibration.temperature)
    rows = zip(tempered.tolist(), encodings, strict=True)
    return np.array([calibration.readable(row, encoding.unknown) for row, encoding in rows], dtype=np.float32)


def _other_tokens(classifier: Classifier, source: Source, texts: Sequence[str]) -> int | None:
    expected = reference_ids(source, texts)
    if expected is None:
        return None
    found = classifier.tokeniser.encode_many(texts)
    return sum(list(encoding.ids) != ids for encoding, ids in zip(found, expected, strict=True))
