"""The session that counts what another one computes."""

from __future__ import annotations

import numpy as np
import pytest
from albert_reference import write_tiny_artifact
from fakes import FakeSession

from worker.errors import ArtifactError, InferenceError
from worker.inference.session import SessionOptions
from worker.modelkit.evaluation.subject import CountingSession, Subject

IDS = np.array([[2, 5, 6, 3], [2, 7, 3, 0]], dtype=np.int32)
LENGTHS = np.array([4, 3], dtype=np.int32)


def test_batches_tokens_and_padding_are_counted_and_scores_passed_on() -> None:
    inner = FakeSession()
    session = CountingSession(inner)
    assert session.padding_waste == 0.0
    told: list[int] = []
    session.start(told.append)
    assert (session.predict(IDS, LENGTHS) == inner.predict(IDS, LENGTHS)).all()
    session.predict(IDS[:1], LENGTHS[:1])
    assert (session.batches, session.tokens, session.computed_tokens) == (2, 11, 12)
    assert session.padding_waste == pytest.approx(1 / 12)
    assert told == [2, 1]
    assert session.provider == "cpu"
    session.start(told.append)
    assert (session.batches, session.tokens, session.computed_tokens) == (0, 0, 0)


def test_a_batch_that_fails_is_not_counted() -> None:
    inner = FakeSession()
    inner.broken = True
    session = CountingSession(inner)
    with pytest.raises(InferenceError):
        session.predict(IDS, LENGTHS)
    assert session.batches == 0


def test_a_subject_is_loaded_warm_with_nothing_counted(tmp_path) -> None:
    folder = write_tiny_artifact(tmp_path / "tiny")
    subject = Subject.load(folder, SessionOptions(provider="cpu"))
    assert subject.classifier.artifact.identity == "tiny@1.2.3"
    assert subject.session.batches == 0
    subject.classifier.predict(["fine", "fair"])
    assert subject.session.batches == 1


def test_a_folder_that_is_no_artifact_is_an_error(tmp_path) -> None:
    with pytest.raises(ArtifactError, match=r"manifest\.json"):
        Subject.load(tmp_path, SessionOptions(provider="cpu"))
