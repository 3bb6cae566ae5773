"""The states of a worker, and which may follow which.

::

    CREATED ──► STARTING ──► RUNNING ──► DRAINING ──► STOPPED
                   │            │           │            ▲
                   └────────────┴───────────┴──► FAILED ─┘

`DRAINING` accepts nothing new and finishes what is in flight; `FAILED` publishes and commits only what was already
handed to the producer.
"""

from __future__ import annotations

import enum


class State(enum.Enum):
    """Where a worker is in its life."""

    CREATED = "created"
    STARTING = "starting"
    RUNNING = "running"
    DRAINING = "draining"
    FAILED = "failed"
    STOPPED = "stopped"


TRANSITIONS: dict[State, frozenset[State]] = {
    State.CREATED: frozenset({State.STARTING}),
    State.STARTING: frozenset({State.RUNNING, State.DRAINING, State.FAILED}),
    State.RUNNING: frozenset({State.DRAINING, State.FAILED}),
    State.DRAINING: frozenset({State.STOPPED, State.FAILED}),
    State.FAILED: frozenset({State.STOPPED}),
    State.STOPPED: frozenset(),
}


class Lifecycle:
    """Holds the state; `to` is the only way to change it."""

    def __init__(self) -> None:
        self.state = State.CREATED

    def to(self, state: State) -> None:
        """Go on to `state`; raises RuntimeError for a transition that the picture does not have."""
        if state not in TRANSITIONS[self.state]:
            raise RuntimeError(f"This is a bug: a worker that is {self.state.value} cannot become {state.value}")
        self.state = state

    @property
    def accepts_input(self) -> bool:
        """Whether new records may be submitted."""
        return self.state in (State.STARTING, State.RUNNING)
