"""What may be wrong with a session: each is asked before a batch is computed, and raises, or waits."""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from worker.errors import InferenceError, OutOfMemoryError
from worker.inference.session import Ids

GATE_VARIABLE = "TEST_GATE"  # as in worker_process.py
POLL_S = 0.005
FITTING_REVIEWS = 2
"""What the model ``small-memory`` has memory for."""
Fault = Callable[[Ids], None]


def held() -> Fault:
    """Answers only while the gate is open."""
    return lambda ids: wait_for_gate()


def slow_first() -> Fault:
    """The first batch waits for the gate, the others do not."""
    calls = itertools.count()

    def fault(ids: Ids) -> None:
        if next(calls) == 0:
            wait_for_gate()

    return fault


def bug_once() -> Fault:
    """The first batch raises what no session is meant to raise."""
    calls = itertools.count()

    def fault(ids: Ids) -> None:
        if next(calls) == 0:
            raise RuntimeError("a bug in the session")

    return fault


def bug() -> Fault:
    """Every batch raises what no session is meant to raise."""

    def fault(ids: Ids) -> None:
        raise RuntimeError("a bug in the session")

    return fault


def fails_once() -> Fault:
    """The first batch fails."""
    calls = itertools.count()

    def fault(ids: Ids) -> None:
        if next(calls) == 0:
            raise InferenceError("the device is busy")

    return fault


def fails_for_a_while() -> Fault:
    """Everything fails until the gate is open."""

    def fault(ids: Ids) -> None:
        if not gate().exists():
            raise InferenceError("the device is gone")

    return fault


def small_memory() -> Fault:
    """There is memory for a few reviews only."""

    def fault(ids: Ids) -> None:
        if len(ids) > FITTING_REVIEWS:
            raise OutOfMemoryError(f"no memory for {len(ids)} reviews")

    return fault


def no_memory_for_a_while() -> Fault:
    """There is no memory at all until the gate is open."""

    def fault(ids: Ids) -> None:
        if not gate().exists():
            raise OutOfMemoryError("no memory at all")

    return fault


def poisoned(poison: list[int]) -> Fault:
    """Fails on any batch with a review that has all of these tokens, and on no other."""

    def fault(ids: Ids) -> None:
        if any(np.isin(poison, row).all() for row in ids):
            raise InferenceError("this cannot be computed")

    return fault


FAULTS: dict[str, Callable[[], Fault]] = {
    "held": held,
    "slow-first": slow_first,
    "bug": bug,
    "bug-once": bug_once,
    "fails-once": fails_once,
    "fails-for-a-while": fails_for_a_while,
    "small-memory": small_memory,
    "no-memory-for-a-while": no_memory_for_a_while,
}
"""By the name of the model that has it."""


def gate() -> Path:
    """The file whose existence opens the gate."""
    return Path(os.environ[GATE_VARIABLE])


def wait_for_gate() -> None:
    """Block until the gate is open."""
    while not gate().exists():
        time.sleep(POLL_S)
