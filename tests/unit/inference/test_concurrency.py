"""How many inferences run side by side, and that nothing is mixed up when they do."""

from __future__ import annotations

import pytest
from fakes import FakeSession

from worker.errors import InferenceError
from worker.inference import Artifact, SessionOptions, providers
from worker.inference.classifier import Classifier
from worker.tokenization.overflow import Overflow

TEXTS = ["good " * (1 + 37 * number % 400) + f"number {number}" for number in range(40)]


@pytest.mark.parametrize(
    ("cores", "concurrency", "threads", "expected"),
    [
        (1, 0, 0, (1, 1)),
        (8, 0, 0, (8, 1)),
        (8, 2, 0, (2, 4)),
        (8, 3, 0, (3, 2)),
        (8, 0, 4, (2, 4)),
        (8, 0, 3, (2, 3)),
        (8, 0, 16, (1, 16)),
        (2, 5, 0, (5, 1)),
        (8, 3, 5, (3, 5)),
    ],
)
def test_batches_and_threads_share_the_cores(
    monkeypatch: pytest.MonkeyPatch, cores: int, concurrency: int, threads: int, expected: tuple[int, int]
) -> None:
    monkeypatch.setattr(providers, "usable_cores", lambda: cores)
    assert SessionOptions(concurrency=concurrency, threads=threads).on_cpu() == expected


def _classifier(session: FakeSession) -> Classifier:
    artifact = Artifact.load(None)
    return Classifier(artifact, artifact.load_tokeniser().with_overflow(Overflow("windows", 20, 4)), session)


def test_a_classifier_says_the_same_in_the_same_order_with_any_number_of_batches_at_once() -> None:
    alone, together = FakeSession(concurrency=1), FakeSession(concurrency=3)
    answers = _classifier(together).predict(TEXTS)
    assert answers == _classifier(alone).predict(TEXTS)
    assert len({answer.score for answer in answers}) > len(TEXTS) / 2
    assert sorted(together.shapes) == sorted(alone.shapes)
    assert len(together.shapes) > 3


@pytest.mark.parametrize("concurrency", [1, 3])
def test_an_error_in_one_batch_reaches_who_asked(concurrency: int) -> None:
    session = FakeSession(concurrency=concurrency)
    classifier = _classifier(session)
    session.poison([classifier.tokeniser.encode(TEXTS[17])])
    with pytest.raises(InferenceError, match="fails on a review"):
        classifier.predict(TEXTS)
    assert len(classifier.predict(TEXTS[:17])) == 17
