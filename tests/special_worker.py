"""``python special_worker.py MODEL``: the worker with a model made for a test instead of the bundled one.

Everything else is the real thing: settings from the environment, log, exit codes. The tokeniser is the bundled one.
"""

from __future__ import annotations

import itertools
import os
import sys
import threading
import time
from pathlib import Path

import numpy as np

from worker.cli.commands import exit_code
from worker.errors import InferenceError, WorkerError
from worker.faust_app import run_worker
from worker.faust_app.model import Model, batch_limits
from worker.inference import Artifact
from worker.inference.scores import Scores
from worker.inference.session import Ids, Lengths
from worker.logs import configure_logging
from worker.metrics import Metrics
from worker.settings import Settings

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


class SlowFirstSession(GatedSession):
    """The first batch waits for the file named by ``TEST_GATE``; the others do not."""

    def __init__(self, gate: Path) -> None:
        super().__init__(gate)
        self._calls = itertools.count()

    def predict(self, ids: Ids, lengths: Lengths) -> Scores:
        first = next(self._calls) == 0
        return super().predict(ids, lengths) if first else FreeSession.predict(self, ids, lengths)


class BugOnceSession(FreeSession):
    """Raises on the first batch what no session is meant to raise."""

    def __init__(self) -> None:
        self._calls = itertools.count()

    def predict(self, ids: Ids, lengths: Lengths) -> Scores:
        if next(self._calls) == 0:
            raise RuntimeError("a bug in the session")
        return super().predict(ids, lengths)


class PoisonedSession(FreeSession):
    """Fails on any batch with a review that has all of the given tokens, and on no other."""

    def __init__(self, poison: list[int]) -> None:
        self._poison = poison

    def predict(self, ids: Ids, lengths: Lengths) -> Scores:
        if any(np.isin(self._poison, row).all() for row in ids):
            raise InferenceError("this cannot be computed")
        return super().predict(ids, lengths)


def load(kind: str, settings: Settings, metrics: Metrics) -> Model:
    """What `run_worker` is given to load."""
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
        case "gated":
            session = GatedSession(Path(os.environ[GATE_VARIABLE]))
        case "slow-first":
            session = SlowFirstSession(Path(os.environ[GATE_VARIABLE]))
        case "bug-once":
            session = BugOnceSession()
        case "poisoned":
            session = PoisonedSession([int(number) for number in tokenizer.encode_many([POISON])[0].ids[1:-1]])
        case _:
            raise ValueError(f"there is no model {kind!r}")
    limits = batch_limits(settings, "cpu", artifact.max_length)
    return Model(f"{kind}@1", artifact.labels, tokenizer, session, limits)


def main(kind: str) -> int:
    """Run it as ``reviews-worker run`` would; answers the exit code."""
    settings = Settings()
    configure_logging(settings.log_level, settings.log_format)
    try:
        return int(run_worker(settings, load=lambda settings, metrics: load(kind, settings, metrics)))
    except WorkerError as error:
        print(f"error: {error}", file=sys.stderr)
        return int(exit_code(error))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
