"""What the runner does when a session fails: who is to blame, what is tried again, and when it gives up."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.batching import Batch, ShapeLadder
from worker.errors import InferenceError, OutOfMemoryError, Reason, RecordError, SessionError, Stage
from worker.inference import BatchRunner, RetryPolicy
from worker.inference.calibration import UNCALIBRATED, Calibration
from worker.inference.scores import pooled
from worker.observability.metrics import Metrics
from worker.records import Encoding, Entry, Part, Prediction, Record, TopicPartition, parts_of

PAD_ID = 0
POISON = 666
Rows = npt.NDArray[np.int32]


class FakeSession:
    """Gives every row the share of its length as score; fails as `fail` says, which sees each batch first."""

    provider = "fake"

    def __init__(self, fail: Callable[[Rows], None] = lambda ids: None) -> None:
        self._fail = fail
        self.shapes: list[tuple[int, int]] = []

    def warm_up(self) -> None:
        pass

    def predict(self, ids: Rows, lengths: Rows) -> npt.NDArray[np.float32]:
        self.shapes.append(ids.shape)
        self._fail(ids)
        share = lengths.astype(np.float32) / 100
        return np.stack([1 - share, share], axis=1)


class Waits:
    """Records the pauses asked for; stops the worker at the pause number `stop_at`."""

    def __init__(self, stop_at: int | None = None) -> None:
        self.pauses: list[float] = []
        self._stop_at = stop_at

    def __call__(self, seconds: float) -> bool:
        self.pauses.append(seconds)
        return self._stop_at is not None and len(self.pauses) > self._stop_at


def _entry(index: int, length: int = 5, *, poison: bool = False) -> Entry:
    ids = np.full(length, 10 + index % 100, dtype=np.int32)
    if poison:
        ids[1] = POISON
    record = Record(TopicPartition("reviews.in", 0), index, 0, None, b"{}", (), 1)
    return Entry(record, Encoding(ids, truncated=index % 2 == 1), has_result=False, arrived_at=0, waiting_since=0)


def _long_entry(index: int, *lengths: int, poison: int | None = None) -> Entry:
    """A review in several windows; the window number `poison` fails."""
    entry = _entry(index, lengths[0])
    windows = []
    for number, length in enumerate(lengths):
        ids = np.full(length, 10 + index % 100, dtype=np.int32)
        if number == poison:
            ids[1] = POISON
        windows.append(ids)
    entry.encoding = Encoding(windows[0], truncated=index % 2 == 1, further=tuple(windows[1:]))
    return entry


def _pooled(*lengths: int) -> tuple[float, ...]:
    """What the fake session's scores of windows of these lengths come to."""
    return pooled([(1 - length / 100, length / 100) for length in lengths], [length - 2 for length in lengths])


def _fail_on_poison(ids: Rows) -> None:
    if (ids == POISON).any():
        raise InferenceError("poison")


def _always_fail(ids: Rows) -> None:
    raise InferenceError("broken")


def _runner(
    session: FakeSession,
    *,
    metrics: Metrics | None = None,
    waits: Waits | None = None,
    policy: RetryPolicy | None = None,
    limits: list[int] | None = None,
    calibration: Calibration = UNCALIBRATED,
) -> BatchRunner:
    return BatchRunner(
        session,
        PAD_ID,
        metrics or Metrics(),
        policy or RetryPolicy(attempts=3, first_pause_s=1.0),
        waits or Waits(),
        labels=("neg", "pos"),
        calibration=calibration,
        on_memory_limit=None if limits is None else limits.append,
    )


def _value(metrics: Metrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(f"reviews_worker_{name}", labels)


def _reasons(entries: Sequence[Entry]) -> list[Reason | None]:
    return [entry.outcome.reason if isinstance(entry.outcome, RecordError) else None for entry in entries]


def test_every_entry_gets_its_own_prediction() -> None:
    entries = [_entry(index, length=3 + index) for index in range(4)]

    _runner(FakeSession()).run(Batch(entries))

    for index, entry in enumerate(entries):
        assert isinstance(entry.outcome, Prediction)
        assert entry.outcome.scores == pytest.approx((1 - (3 + index) / 100, (3 + index) / 100))
        assert (entry.outcome.tokens, entry.outcome.truncated) == (3 + index, index % 2 == 1)


def test_what_cannot_be_read_gets_the_prior_and_counts_as_its_label() -> None:
    metrics = Metrics()
    entries = [_entry(0, length=90), _entry(1, length=91)]
    entries[0].encoding = Encoding(entries[0].ids, truncated=False, unknown=1.0)

    _runner(FakeSession(), metrics=metrics, calibration=Calibration(prior=(0.75, 0.25))).run(Batch(entries))

    outcomes = [entry.outcome for entry in entries]
    assert [outcome.unknown for outcome in outcomes if isinstance(outcome, Prediction)] == [1.0, 0.0]
    assert [outcome.scores[0] for outcome in outcomes if isinstance(outcome, Prediction)] == pytest.approx([0.75, 0.09])
    assert [_value(metrics, "predictions_total", label=label) for label in ("neg", "pos")] == [1, 1]


def test_rows_that_only_fill_up_a_shape_are_dropped() -> None:
    entries = [_entry(index) for index in range(3)]
    session, metrics = FakeSession(), Metrics()

    _runner(session, metrics=metrics).run(Batch(entries, ShapeLadder([8], [4])))

    assert session.shapes == [(4, 8)]
    assert all(isinstance(entry.outcome, Prediction) for entry in entries)
    assert _value(metrics, "predictions_total", label="neg") == 3
    assert _value(metrics, "padded_tokens_total") == 32
    assert _value(metrics, "real_tokens_total") == 15


def test_a_batch_is_counted() -> None:
    metrics = Metrics()
    _runner(FakeSession(), metrics=metrics).run(Batch([_entry(0, length=80), _entry(1, length=20)]))
    assert _value(metrics, "batches_total") == 1
    assert _value(metrics, "batch_reviews_sum") == 2
    assert _value(metrics, "batch_tokens_sum") == 160
    assert _value(metrics, "padding_waste_sum") == pytest.approx(1 - 100 / 160)
    assert _value(metrics, "inference_seconds_count") == 1
    assert _value(metrics, "predictions_total", label="pos") == 1
    assert _value(metrics, "predictions_total", label="neg") == 1


@given(st.integers(1, 40).flatmap(lambda size: st.tuples(st.just(size), st.sets(st.integers(0, size - 1), max_size=5))))
def test_poison_reviews_fail_alone_and_all_others_are_classified(case: tuple[int, set[int]]) -> None:
    size, poisoned = case
    entries = [_entry(index, poison=index in poisoned) for index in range(size)]
    waits, metrics = Waits(), Metrics()

    _runner(FakeSession(_fail_on_poison), waits=waits, metrics=metrics).run(Batch(entries))

    expected = [Reason.INFERENCE_FAILED if index in poisoned else None for index in range(size)]
    assert _reasons(entries) == expected
    assert all(entry.outcome is not None for entry in entries)
    assert waits.pauses == []
    assert sum(_value(metrics, "predictions_total", label=label) or 0 for label in ("neg", "pos")) == size - len(
        poisoned
    )


def test_a_poison_review_is_found_in_few_computations() -> None:
    session = FakeSession(_fail_on_poison)
    _runner(session).run(Batch([_entry(index, poison=index == 77) for index in range(256)]))
    assert len(session.shapes) < 40


def test_the_error_of_a_poison_review_names_its_stage_and_not_its_text() -> None:
    entry = _entry(0, poison=True)
    _runner(FakeSession(_fail_on_poison)).run(Batch([entry]))
    assert isinstance(entry.outcome, RecordError)
    assert entry.outcome.stage is Stage.INFER
    assert "poison" in str(entry.outcome)


def test_a_batch_of_nothing_but_poison_is_the_reviews_fault() -> None:
    entries = [_entry(index, poison=True) for index in range(8)]
    waits = Waits()
    _runner(FakeSession(_fail_on_poison), waits=waits).run(Batch(entries))
    assert _reasons(entries) == [Reason.INFERENCE_FAILED] * 8
    assert waits.pauses == []


def test_a_failure_that_does_not_return_costs_no_review() -> None:
    failures = iter([True])

    def fail_once(ids: Rows) -> None:
        if next(failures, False):
            raise InferenceError("hiccup")

    entry = _entry(0)
    _runner(FakeSession(fail_once)).run(Batch([entry]))
    assert isinstance(entry.outcome, Prediction)


def test_a_broken_session_is_tried_again_with_growing_pauses_and_then_given_up() -> None:
    entries = [_entry(index) for index in range(4)]
    waits, metrics = Waits(), Metrics()
    runner = _runner(
        FakeSession(_always_fail),
        waits=waits,
        metrics=metrics,
        policy=RetryPolicy(attempts=5, first_pause_s=4.0, max_pause_s=30.0),
    )

    with pytest.raises(SessionError, match="6 times in a row"):
        runner.run(Batch(entries))

    assert waits.pauses == [4.0, 8.0, 16.0, 30.0, 30.0]
    assert [entry.outcome for entry in entries] == [None] * 4
    assert _value(metrics, "retries_total", stage="infer") == 5
    assert _value(metrics, "inference_failures_total", kind="failed") == 6


def test_many_attempts_are_no_deep_recursion() -> None:
    waits = Waits()
    with pytest.raises(SessionError):
        _runner(FakeSession(_always_fail), waits=waits, policy=RetryPolicy(attempts=5_000)).run(Batch([_entry(0)]))
    assert len(waits.pauses) == 5_000


def test_a_session_that_recovers_costs_no_review() -> None:
    waits = Waits()

    def fail_until_third_pause(ids: Rows) -> None:
        if len(waits.pauses) < 3:
            raise InferenceError("not yet")

    entries = [_entry(index) for index in range(4)]
    _runner(FakeSession(fail_until_third_pause), waits=waits).run(Batch(entries))
    assert _reasons(entries) == [None] * 4
    assert waits.pauses == [1.0, 2.0, 4.0]


def test_pauses_start_small_again_after_a_success() -> None:
    waits, broken = Waits(), [True]

    def fail_while_broken(ids: Rows) -> None:
        if broken[0]:
            raise InferenceError("broken")

    class Repairing(Waits):
        def __call__(self, seconds: float) -> bool:
            broken[0] = False
            return waits(seconds)

    runner = _runner(FakeSession(fail_while_broken), waits=Repairing())
    for index in range(6):
        broken[0] = True
        runner.run(Batch([_entry(index)]))
    assert waits.pauses == [1.0] * 6


def test_a_stop_ends_the_pauses() -> None:
    waits = Waits(stop_at=1)
    entry = _entry(0)
    with pytest.raises(SessionError, match="stopping"):
        _runner(FakeSession(_always_fail), waits=waits).run(Batch([entry]))
    assert waits.pauses == [1.0, 2.0]
    assert entry.outcome is None


def test_out_of_memory_halves_until_it_fits_and_says_what_fits() -> None:
    def fail_beyond_64_tokens(ids: Rows) -> None:
        if ids.size > 64:
            raise OutOfMemoryError("full")

    entries = [_entry(index, length=16) for index in range(16)]
    limits: list[int] = []
    metrics, waits = Metrics(), Waits()

    _runner(FakeSession(fail_beyond_64_tokens), metrics=metrics, waits=waits, limits=limits).run(Batch(entries))

    assert all(isinstance(entry.outcome, Prediction) for entry in entries)
    assert min(limits) == 64
    assert waits.pauses == []
    assert (_value(metrics, "inference_failures_total", kind="out_of_memory") or 0) > 0


def test_the_limit_never_falls_below_one_review() -> None:
    def fail_beyond_one_row(ids: Rows) -> None:
        if len(ids) > 1:
            raise OutOfMemoryError("full")

    limits: list[int] = []
    entries = [_entry(index, length=16) for index in range(3)]
    _runner(FakeSession(fail_beyond_one_row), limits=limits).run(Batch(entries))
    assert min(limits) == 16
    assert all(isinstance(entry.outcome, Prediction) for entry in entries)


def test_a_review_that_finds_no_memory_alone_is_not_to_blame() -> None:
    def always_full(ids: Rows) -> None:
        raise OutOfMemoryError("full")

    entries = [_entry(index) for index in range(2)]
    waits = Waits()
    with pytest.raises(SessionError, match="full"):
        _runner(FakeSession(always_full), waits=waits).run(Batch(entries))
    assert [entry.outcome for entry in entries] == [None, None]
    assert len(waits.pauses) == 3


@given(st.data())
def test_whatever_fails_and_recovers_every_entry_has_an_outcome_or_the_session_is_given_up(data: st.DataObject) -> None:
    def fail_at_will(ids: Rows) -> None:
        error = data.draw(st.sampled_from([None, None, InferenceError("x"), OutOfMemoryError("y")]))
        if error is not None:
            raise error

    entries = [_entry(index) for index in range(data.draw(st.integers(1, 9)))]
    try:
        _runner(FakeSession(fail_at_will)).run(Batch(entries))
    except SessionError:
        return
    assert all(isinstance(entry.outcome, Prediction | RecordError) for entry in entries)


def test_a_review_in_windows_has_its_outcome_when_the_last_one_is_computed() -> None:
    entry = _long_entry(1, 30, 20, 10)
    first, second, third = parts_of([entry])
    metrics = Metrics()
    runner = _runner(FakeSession(), metrics=metrics)

    runner.run(Batch([third, _entry(0)]))
    assert entry.outcome is None
    runner.run(Batch([first]))
    assert entry.outcome is None
    assert _value(metrics, "predictions_total", label="neg") == 1
    runner.run(Batch([second, _entry(2)]))

    assert isinstance(entry.outcome, Prediction)
    assert entry.outcome.scores == pytest.approx(_pooled(30, 20, 10))
    assert (entry.outcome.tokens, entry.outcome.truncated, entry.outcome.windows) == (60, True, 3)
    assert _value(metrics, "predictions_total", label="neg") == 3
    assert _value(metrics, "windows_total") == 3


def test_windows_of_several_reviews_in_one_batch_do_not_mix() -> None:
    entries = [_long_entry(0, 40, 30), _entry(2, 70), _long_entry(1, 20, 90)]
    _runner(FakeSession()).run(Batch([*parts_of(entries)][::-1]))
    scores = [entry.outcome.scores for entry in entries if isinstance(entry.outcome, Prediction)]
    expected = [_pooled(40, 30), (0.3, 0.7), _pooled(20, 90)]
    assert [pytest.approx(each, rel=1e-5) for each in expected] == scores


def test_when_a_window_fails_its_review_does_and_its_other_windows_are_not_computed() -> None:
    entry = _long_entry(0, 30, 20, 10, poison=1)
    first, second, third = parts_of([entry])
    session, metrics = FakeSession(_fail_on_poison), Metrics()
    runner = _runner(session, metrics=metrics)

    runner.run(Batch([second, first, _entry(1)]))
    assert _reasons([entry]) == [Reason.INFERENCE_FAILED]
    failed, computed = entry.outcome, len(session.shapes)
    assert (1, 30) not in session.shapes
    runner.run(Batch([third]))
    assert len(session.shapes) == computed
    runner.run(Batch([third, _entry(3, 7)]))

    assert session.shapes[computed:] == [(1, 7)]
    assert entry.outcome is failed
    assert sum(_value(metrics, "predictions_total", label=label) or 0 for label in ("neg", "pos")) == 2


def test_windows_fit_into_memory_by_halves_too() -> None:
    def fail_beyond_64_tokens(ids: Rows) -> None:
        if ids.size > 64:
            raise OutOfMemoryError("full")

    entry = _long_entry(0, 40, 40, 40)
    _runner(FakeSession(fail_beyond_64_tokens)).run(Batch(list(parts_of([entry]))))
    assert isinstance(entry.outcome, Prediction)
    assert entry.outcome.scores == pytest.approx(_pooled(40, 40, 40))


@given(st.data())
def test_however_windows_are_batched_and_whatever_fails_each_review_gets_its_own_outcome_once(
    data: st.DataObject,
) -> None:
    shapes = data.draw(st.lists(st.lists(st.integers(3, 90), min_size=1, max_size=4), min_size=1, max_size=6))
    entries, poisoned = [], []
    for index, lengths in enumerate(shapes):
        poison = data.draw(st.one_of(st.none(), st.integers(0, len(lengths) - 1)))
        entries.append(_long_entry(index, *lengths, poison=poison))
        poisoned.append(poison is not None)
    order: list[Part] = data.draw(st.permutations(list(parts_of(entries))))
    runner = _runner(FakeSession(_fail_on_poison))
    outcomes: dict[int, object] = {}

    while order:
        count = data.draw(st.integers(1, len(order)))
        runner.run(Batch(order[:count]))
        del order[:count]
        for index, entry in enumerate(entries):
            if entry.outcome is not None:
                assert outcomes.setdefault(index, entry.outcome) is entry.outcome

    for entry, lengths, failed in zip(entries, shapes, poisoned, strict=True):
        if failed:
            assert _reasons([entry]) == [Reason.INFERENCE_FAILED]
            continue
        assert isinstance(entry.outcome, Prediction)
        assert entry.outcome.windows == len(lengths)
        assert entry.outcome.scores == pytest.approx(_pooled(*lengths), rel=1e-4)
