"""``python special_worker.py MODEL``: the worker with a model made for a test instead of the bundled one.

Everything else is the real thing: settings from the environment, log, exit codes. The tokeniser is the bundled one.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from pathlib import Path
from typing import NoReturn

import numpy as np
from marked_reviews import MARKED_REVIEW_S, POSITIVE
from session_faults import FAULTS, Fault, poisoned

from worker.cli.run import work
from worker.errors import InferenceError
from worker.faust_app.model import Model, batch_limits
from worker.inference import Artifact
from worker.inference.scores import Scores
from worker.inference.session import EMPTY_REVIEW_IDS, Ids, Lengths
from worker.metrics import Metrics
from worker.settings import Settings
from worker.tokenization import Tokenizer

GATE_VARIABLE = "TEST_GATE"  # as in worker_process.py
POISON = "xylophone"
POLL_S = 0.005


class FreeSession:
    """Costs nothing; every review is positive."""

    provider = "cpu"
    concurrency = 2

    def warm_up(self) -> None:
        """Nothing to do."""

    def predict(self, ids: Ids, lengths: Lengths) -> Scores:
        return np.tile(np.array([0.25, 0.75], dtype=np.float32), (len(ids), 1))


class BrokenSession(FreeSession):
    """Fails on everything."""

    concurrency = 1  # each batch that is computed has tries of its own, and a test counts those of one

    def predict(self, ids: Ids, lengths: Lengths) -> Scores:
        raise InferenceError("the device is gone")


class HangingSession(FreeSession):
    """Never answers."""

    def predict(self, ids: Ids, lengths: Lengths) -> Scores:
        threading.Event().wait()
        raise AssertionError("unreachable")


class GatedSession(FreeSession):
    """Answers only while the file named by ``TEST_GATE`` is there."""

    def __init__(self, gate: Path) -> None:
        self._gate = gate

    def predict(self, ids: Ids, lengths: Lengths) -> Scores:
        while not self._gate.exists():
            time.sleep(POLL_S)
        return super().predict(ids, lengths)


class PoisonedSession(FreeSession):
    """Fails on any batch with a review that has all of the given tokens, and on no other."""

    def __init__(self, poison: list[int]) -> None:
        self._poison = poison

    def predict(self, ids: Ids, lengths: Lengths) -> Scores:
        if any(np.isin(self._poison, row).all() for row in ids):
            raise InferenceError("this cannot be computed")
        return super().predict(ids, lengths)


class MarkedSession(FreeSession):
    """Scores each review by the word of `marked_reviews` that is in it, and takes its time, like a real one.

    Raises AssertionError, which is a bug, for a review without such a word.
    """

    def __init__(self, tokens: dict[int, float]) -> None:
        self._tokens = np.array(list(tokens))
        self._scores = np.array(list(tokens.values()), dtype=np.float32)

    def warm_up(self) -> None:
        """Nothing to do."""

    def predict(self, ids: Ids, lengths: Lengths) -> Scores:
        time.sleep(len(ids) * MARKED_REVIEW_S)
        # The word is the last of the text: before [SEP].
        last = np.asarray(ids)[np.arange(len(ids)), np.asarray(lengths) - 2]
        found = last[:, None] == self._tokens
        assert found.sum(axis=1).all(), "a review without a mark"
        positive = self._scores[found.argmax(axis=1)]
        return np.stack([1 - positive, positive], axis=1)


class FaultySession(MarkedSession):
    """The same, with something wrong with it (`session_faults`)."""

    def __init__(self, tokens: dict[int, float], fault: Fault) -> None:
        super().__init__(tokens)
        self._fault = fault

    def predict(self, ids: Ids, lengths: Lengths) -> Scores:
        self._fault(ids)
        if lengths.max() <= len(EMPTY_REVIEW_IDS):  # the runner asks whether the session works at all
            return FreeSession.predict(self, ids, lengths)
        return super().predict(ids, lengths)


def marks(tokenizer: Tokenizer) -> dict[int, float]:
    """The score of each word's token."""
    encoded = tokenizer.encode_many(list(POSITIVE))
    assert all(len(encoding.ids) == 3 for encoding in encoded), "each word must be one piece"
    return {int(encoding.ids[1]): score for encoding, score in zip(encoded, POSITIVE.values(), strict=True)}


def tokens_of(text: str, tokenizer: Tokenizer) -> list[int]:
    """Its tokens, without those that frame a review."""
    return [int(number) for number in tokenizer.encode_many([text])[0].ids[1:-1]]


def load(kind: str, settings: Settings, metrics: Metrics) -> Model:
    """What the worker is given to load."""
    artifact = Artifact.load(None)
    tokenizer = artifact.load_tokeniser()
    session: FreeSession
    match kind:
        case "free":
            session = FreeSession()
        case "broken":
            session = BrokenSession()
        case "hanging":
            session = HangingSession()
        case "never-loaded":
            threading.Event().wait()
            raise AssertionError("unreachable")
        case "marked":
            session = MarkedSession(marks(tokenizer))
        case "gated":
            session = GatedSession(Path(os.environ[GATE_VARIABLE]))
        case "poisoned":
            session = PoisonedSession(tokens_of(POISON, tokenizer))
        case "poisoned-marked":
            session = FaultySession(marks(tokenizer), poisoned(tokens_of(POISON, tokenizer)))
        case _ if kind in FAULTS:
            session = FaultySession(marks(tokenizer), FAULTS[kind]())
        case _:
            raise ValueError(f"there is no model {kind!r}")
    limits = batch_limits(settings, "cpu", artifact.max_length)
    return Model(f"{kind}@{os.getpid()}", artifact.labels, tokenizer, session, limits)


def main(kind: str) -> NoReturn:
    """Run it as ``reviews-worker run`` would."""
    work(Settings(), load=lambda settings, metrics: load(kind, settings, metrics))


if __name__ == "__main__":
    main(sys.argv[1])
