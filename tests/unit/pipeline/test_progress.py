"""The watchdog, on a clock that the test owns."""

from __future__ import annotations

import pytest

from worker.clock import FakeClock
from worker.pipeline.progress import Progress

STALL_TIMEOUT_S = 120.0
REBALANCE_TIMEOUT_S = 30.0
START_TIMEOUT_S = 600.0


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


def new_progress(clock: FakeClock) -> Progress:
    return Progress(STALL_TIMEOUT_S, REBALANCE_TIMEOUT_S, start_timeout_s=START_TIMEOUT_S, started_at=clock.monotonic())


@pytest.fixture
def progress(clock: FakeClock) -> Progress:
    progress = new_progress(clock)
    progress.assigned(clock.monotonic())
    return progress


def test_the_clock_starts_with_the_process(clock: FakeClock) -> None:
    progress = new_progress(clock)
    clock.advance(START_TIMEOUT_S + STALL_TIMEOUT_S)
    assert progress.problem(clock.monotonic()) is None
    clock.advance(1)
    assert progress.problem(clock.monotonic()) == "the start has taken 721 s and is not over"
    progress.joining(clock.monotonic())
    assert progress.problem(clock.monotonic()) is None


def test_a_first_assignment_that_does_not_come_is_a_problem(clock: FakeClock) -> None:
    progress = new_progress(clock)
    progress.joining(clock.monotonic())
    clock.advance(STALL_TIMEOUT_S + REBALANCE_TIMEOUT_S + 1)
    assert progress.problem(clock.monotonic()) == "no partitions have been assigned for 151 s"


def test_offsets_that_stand_still_are_a_problem_after_the_time_out_and_not_before(
    clock: FakeClock, progress: Progress
) -> None:
    clock.advance(STALL_TIMEOUT_S)
    assert progress.problem(clock.monotonic()) is None
    clock.advance(1)
    assert progress.problem(clock.monotonic()) == "offsets have not advanced for 121 s although there is lag"


@pytest.mark.parametrize("sign", ["advanced", "caught_up", "inference_finished", "assigned"])
def test_every_sign_of_progress_starts_the_clock_anew(sign: str, clock: FakeClock, progress: Progress) -> None:
    for _ in range(5):
        clock.advance(STALL_TIMEOUT_S)
        if sign == "inference_finished":
            progress.inference_finished(progress.inference_started(clock.monotonic()), clock.monotonic())
        else:
            getattr(progress, sign)(clock.monotonic())
    clock.advance(STALL_TIMEOUT_S)
    assert progress.problem(clock.monotonic()) is None


def test_a_problem_ends_with_the_next_sign_of_progress(clock: FakeClock, progress: Progress) -> None:
    clock.advance(STALL_TIMEOUT_S + 1)
    assert progress.problem(clock.monotonic())
    progress.advanced(clock.monotonic())
    assert progress.problem(clock.monotonic()) is None


def test_a_session_that_does_not_come_back_is_named(clock: FakeClock, progress: Progress) -> None:
    number = progress.inference_started(clock.monotonic())
    clock.advance(STALL_TIMEOUT_S + 30)
    progress.advanced(clock.monotonic())  # others may still be published
    assert progress.problem(clock.monotonic()) == "the session has computed one batch for 150 s"
    progress.inference_finished(number, clock.monotonic())
    assert progress.problem(clock.monotonic()) is None


def test_a_session_that_hangs_on_a_later_batch_is_named_too(clock: FakeClock, progress: Progress) -> None:
    progress.inference_finished(progress.inference_started(clock.monotonic()), clock.monotonic())
    progress.inference_started(clock.monotonic())
    clock.advance(STALL_TIMEOUT_S + 1)
    progress.advanced(clock.monotonic())
    assert progress.problem(clock.monotonic()) == "the session has computed one batch for 121 s"


def test_a_batch_that_works_does_not_hide_that_another_one_hangs(clock: FakeClock, progress: Progress) -> None:
    progress.inference_started(clock.monotonic())
    for _ in range(4):
        number = progress.inference_started(clock.monotonic())
        clock.advance(STALL_TIMEOUT_S / 4)
        progress.inference_finished(number, clock.monotonic())
    clock.advance(1)
    progress.advanced(clock.monotonic())
    assert progress.problem(clock.monotonic()) == "the session has computed one batch for 121 s"
