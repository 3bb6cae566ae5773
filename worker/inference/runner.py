"""Computing a batch, and finding out what is to blame when that fails."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from worker.batching import Batch
from worker.errors import InferenceError, OutOfMemoryError, Reason, RecordError, SessionError, Stage
from worker.inference.calibration import UNCALIBRATED, Calibration
from worker.inference.scores import Scores, prediction_of
from worker.inference.session import EMPTY_REVIEW_IDS, Session
from worker.observability.metrics import Metrics
from worker.records import Part, Window, entry_of

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class RetryPolicy:
    """How long to believe that a failing session may recover."""

    attempts: int = 8
    """Tries after the first, one after another, before the session counts as broken."""
    first_pause_s: float = 0.5
    """Before the first of them; each further pause is twice as long."""
    max_pause_s: float = 30.0

    def pause_s(self, attempt: int) -> float:
        """Seconds before the try number `attempt`, the first being 0."""
        return float(min(self.first_pause_s * 2.0 ** min(attempt, 64), self.max_pause_s))


_windows = threading.Lock()
"""Windows of one review may be computed by several runners at once, and one of them is the last."""


class BatchRunner:
    """Fills in the outcome of every review of a batch. For one thread at a time.

    A review in several windows has its outcome when the last of them is computed, in whichever batch that is.

    A batch that fails is not to blame before a canary, an empty review, has been computed: if that fails too, the
    session is at fault and everything is tried again with back-off. Otherwise the batch is split until the review
    that fails is alone; it fails alone twice and becomes a dead letter, and all others are classified. A review fails
    when one of its windows does; the others are not computed then.
    Out of memory, the batch is split too, and `on_memory_limit` is told how many padded tokens still fit.

    `wait(seconds)` pauses, and answers True as soon as the worker is stopping. `on_memory_limit` is called in the
    thread that runs the batch. `labels` are the model's, for the count of predictions; `calibration` is its artifact's.
    """

    def __init__(
        self,
        session: Session,
        pad_id: int,
        metrics: Metrics,
        policy: RetryPolicy,
        wait: Callable[[float], bool],
        *,
        labels: Sequence[str] = (),
        calibration: Calibration = UNCALIBRATED,
        on_memory_limit: Callable[[int], None] | None = None,
    ) -> None:
        self._session = session
        self._pad_id = pad_id
        self._metrics = metrics
        self._policy = policy
        self._wait = wait
        self._calibration = calibration
        self._label_counters = [metrics.labels.labels(label) for label in labels]
        self._on_memory_limit = on_memory_limit or (lambda max_batch_tokens: None)
        self._failures_in_a_row = 0
        self._suspect: Part | None = None

    def run(self, batch: Batch) -> None:
        """Compute `batch`: each entry's outcome becomes a `Prediction`, or a `RecordError` (``inference_failed``).

        Only an entry of which windows are still missing stays without one. Blocks while it computes and waits. Raises
        `SessionError` when the session stays broken through all tries of the policy, or is broken while the worker is
        stopping; entries without an outcome were then not computed.
        """
        pending, self._suspect = [batch], None
        while pending:
            current = pending.pop()
            if current.has_windows:
                unsettled = current.without_settled()
                if unsettled is None:
                    continue
                current = unsettled
            try:
                scores = self._predict(current)
            except OutOfMemoryError as error:
                pending.extend(self._after_out_of_memory(current, error))
            except InferenceError as error:
                pending.extend(self._after_failure(current, error))
            else:
                self._fill(current, scores)

    def _predict(self, batch: Batch) -> Scores:
        ids, lengths = batch.arrays(self._pad_id)
        started = time.perf_counter()
        try:
            scores = self._session.predict(ids, lengths)
        except InferenceError as error:
            kind = "out_of_memory" if isinstance(error, OutOfMemoryError) else "failed"
            self._metrics.inference_failures.labels(kind).inc()
            raise
        self._metrics.inference_seconds.observe(time.perf_counter() - started)
        self._failures_in_a_row = 0
        return scores

    def _fill(self, batch: Batch, scores: Scores) -> None:
        parts = batch.parts
        real_scores = scores[: len(parts)]  # rows beyond are there only to fill up the shape
        reviews: list[Sequence[float]] = []  # scores of reviews that are complete now; not kept without windows
        for number, (part, row) in enumerate(zip(parts, real_scores.tolist(), strict=True)):
            if isinstance(part, Window):
                reviews.extend(self._fill_window(part, tuple(row)))
                continue
            encoding = part.encoding
            outcome = part.outcome = prediction_of(encoding, (row,), self._calibration)  # type: ignore[arg-type]
            if batch.has_windows:
                reviews.append(outcome.scores)
            elif outcome.unknown:
                real_scores[number] = outcome.scores
        metrics = self._metrics
        metrics.batches.inc()
        metrics.batch_reviews.observe(len(parts))
        metrics.batch_tokens.observe(batch.padded_tokens)
        metrics.padding_waste.observe(batch.padding_waste)
        metrics.real_tokens.inc(batch.real_tokens)
        metrics.padded_tokens.inc(batch.padded_tokens)
        if batch.has_windows:
            metrics.windows.inc(sum(isinstance(part, Window) for part in parts))
            real_scores = np.array(reviews, dtype=np.float32).reshape(-1, real_scores.shape[1])
        if self._label_counters:
            counts = np.bincount(real_scores.argmax(axis=1), minlength=len(self._label_counters))
            for counter, count in zip(self._label_counters, counts.tolist(), strict=True):
                counter.inc(count)

    def _fill_window(self, window: Window, scores: tuple[float, ...]) -> Sequence[tuple[float, ...]]:
        """Keep the scores of `window`; answers those of its review, if it was the last one missing."""
        entry, encoding = window.entry, window.entry.encoding
        known = entry.window_scores
        if encoding is None or known is None:
            raise ValueError(f"This is a bug: a window of {entry.record.source}, which is in no windows")
        with _windows:
            known[window.number] = scores
            if len(known) <= len(encoding.further):
                return ()
        prediction = prediction_of(encoding, [known[number] for number in range(len(known))], self._calibration)
        entry.outcome = prediction
        return (prediction.scores,)

    def _after_out_of_memory(self, batch: Batch, error: OutOfMemoryError) -> Sequence[Batch]:
        """What to try next. A review that does not fit alone waits for memory, since it is not to blame."""
        if len(batch.parts) == 1:
            self._back_off(error)
            return (batch,)
        fitting = max(batch.length, batch.padded_tokens // 2)
        _log.warning("the device is out of memory; batches have %d tokens at most from now on", fitting)
        self._on_memory_limit(fitting)
        return batch.split()[::-1]

    def _after_failure(self, batch: Batch, error: InferenceError) -> Sequence[Batch]:
        """What to try next, if anything."""
        if not self._session_works():
            self._back_off(error)
            return (batch,)
        if len(batch.parts) > 1:
            return batch.split()[::-1]
        (part,) = batch.parts
        if part is not self._suspect:
            self._suspect = part
            return (batch,)
        entry = entry_of(part)
        _log.warning("%s fails in the model while others do not: %s", entry.record.source, error)
        message = f"the model fails on this review and on no other ({error})"
        entry.outcome = RecordError(Reason.INFERENCE_FAILED, Stage.INFER, message)
        return ()

    def _session_works(self) -> bool:
        """Compute the canary; a session that cannot read an empty review can read nothing."""
        ids = np.array([EMPTY_REVIEW_IDS], dtype=np.int32)
        try:
            self._session.predict(ids, np.array([len(EMPTY_REVIEW_IDS)], dtype=np.int32))
        except InferenceError:
            return False
        return True

    def _back_off(self, error: InferenceError) -> None:
        """Wait before another try; raises `SessionError` after the last one, and when the worker is stopping."""
        attempt = self._failures_in_a_row
        self._failures_in_a_row += 1
        if attempt >= self._policy.attempts:
            raise SessionError(
                f"the session failed {attempt + 1} times in a row, so the worker gives up: {error}"
            ) from error
        pause = self._policy.pause_s(attempt)
        _log.warning(
            "the session fails (%s); trying again in %.1f s (%d of %d)",
            error,
            pause,
            attempt + 1,
            self._policy.attempts,
        )
        self._metrics.retries.labels(Stage.INFER.value).inc()
        if self._wait(pause):
            raise SessionError(f"the session fails, and the worker is stopping: {error}") from error
