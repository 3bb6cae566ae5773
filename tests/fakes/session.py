"""A session that needs no model: its scores follow from the token ids, and it fails on demand."""

from __future__ import annotations

import threading
import zlib
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from worker.errors import InferenceError, OutOfMemoryError
from worker.inference.scores import Scores, prediction_of
from worker.inference.session import Ids, Lengths
from worker.records import Encoding, Prediction

SCORE_STEPS = 997


class FakeSession:
    """Implements `worker.inference.Session`. Thread-safe.

    The prediction for a review depends on its own tokens alone, so a mix-up of rows shows. `expected` says it.
    """

    def __init__(self, labels: int = 2, *, concurrency: int = 1, max_tokens: int | None = None) -> None:
        self.provider = "cpu"
        self.concurrency = concurrency
        self.labels = labels
        self.max_tokens = max_tokens
        """Padded tokens beyond which it is out of memory; None for no limit."""
        self.broken = False
        """It fails on everything, an empty review included."""
        self.shapes: list[tuple[int, int]] = []
        """Rows and length of each batch that it was asked for, in order."""
        self._poison: set[bytes] = set()
        self._changed = threading.Condition()
        self._permits: int | None = None

    def warm_up(self) -> None:
        """There is nothing to warm."""

    def predict(self, ids: Ids, lengths: Lengths) -> Scores:
        """See `worker.inference.Session`."""
        with self._changed:
            self.shapes.append((ids.shape[0], ids.shape[1]))
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._permits is None or self._permits > 0)
            if self._permits is not None:
                self._permits -= 1
        if self.broken:
            raise InferenceError("this fake session is broken")
        if self.max_tokens is not None and ids.size > self.max_tokens:
            raise OutOfMemoryError(f"{ids.size} tokens; this fake session has memory for {self.max_tokens}")
        rows = [ids[row, :length] for row, length in enumerate(lengths.tolist())]
        if any(_fingerprint(row) in self._poison for row in rows):
            raise InferenceError("this fake session fails on a review in this batch")
        return np.array([self._scores(row) for row in rows], dtype=np.float32)

    def expected(self, encoding: Encoding) -> Prediction:
        """What it says of a review."""
        scores = np.array([self._scores(ids) for ids in encoding.windows], dtype=np.float32).tolist()
        return prediction_of(encoding, scores)

    def poison(self, encodings: Iterable[Encoding]) -> None:
        """Fail on every batch that has one of these reviews in it, or any of its windows."""
        self._poison.update(_fingerprint(ids) for encoding in encodings for ids in encoding.windows)

    # --- under control of a test ------------------------------------------------------------------------------------

    def hold(self) -> None:
        """Let every computation wait, until `release` or `permit`."""
        with self._changed:
            self._permits = 0

    def permit(self, computations: int = 1) -> None:
        """Let so many more computations through while it holds."""
        with self._changed:
            self._permits = (self._permits or 0) + computations
            self._changed.notify_all()

    def release(self) -> None:
        """Compute without waiting again."""
        with self._changed:
            self._permits = None
            self._changed.notify_all()

    def wait_for_calls(self, count: int, timeout_s: float = 30.0) -> None:
        """Block until it was asked `count` times in all; raises TimeoutError. Call it in a thread."""
        with self._changed:
            if not self._changed.wait_for(lambda: len(self.shapes) >= count, timeout_s):
                raise TimeoutError(f"{len(self.shapes)} computations within {timeout_s:g} s, waited for {count}")

    def _scores(self, ids: npt.NDArray[np.int32]) -> list[float]:
        seed = zlib.crc32(np.ascontiguousarray(ids, dtype=np.int32).tobytes())
        weights = [1 + (seed + label * 31) * (label + 7) % SCORE_STEPS for label in range(self.labels)]
        return [weight / sum(weights) for weight in weights]


def _fingerprint(ids: npt.NDArray[np.int32]) -> bytes:
    return np.ascontiguousarray(ids, dtype=np.int32).tobytes()
