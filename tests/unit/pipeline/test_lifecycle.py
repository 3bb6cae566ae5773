"""Every transition of a worker's life: those of the picture, and no other."""

from __future__ import annotations

import itertools

import pytest

from worker.pipeline.lifecycle import TRANSITIONS, Lifecycle, State

ALLOWED = {
    (State.CREATED, State.STARTING),
    (State.STARTING, State.RUNNING),
    (State.STARTING, State.DRAINING),
    (State.STARTING, State.FAILED),
    (State.RUNNING, State.DRAINING),
    (State.RUNNING, State.FAILED),
    (State.DRAINING, State.STOPPED),
    (State.DRAINING, State.FAILED),
    (State.FAILED, State.STOPPED),
}
PATHS = {
    State.CREATED: (),
    State.STARTING: (State.STARTING,),
    State.RUNNING: (State.STARTING, State.RUNNING),
    State.DRAINING: (State.STARTING, State.RUNNING, State.DRAINING),
    State.FAILED: (State.STARTING, State.FAILED),
    State.STOPPED: (State.STARTING, State.DRAINING, State.STOPPED),
}


def in_state(state: State) -> Lifecycle:
    lifecycle = Lifecycle()
    for step in PATHS[state]:
        lifecycle.to(step)
    assert lifecycle.state is state
    return lifecycle


@pytest.mark.parametrize(("before", "after"), list(itertools.product(State, State)))
def test_a_transition_is_taken_only_if_the_picture_has_it(before: State, after: State) -> None:
    lifecycle = in_state(before)
    if (before, after) in ALLOWED:
        lifecycle.to(after)
        assert lifecycle.state is after
        return
    with pytest.raises(RuntimeError, match=f"{before.value} cannot become {after.value}"):
        lifecycle.to(after)
    assert lifecycle.state is before


@pytest.mark.parametrize("state", State)
def test_input_is_accepted_from_the_start_to_the_first_sign_of_the_end(state: State) -> None:
    assert in_state(state).accepts_input is (state in (State.STARTING, State.RUNNING))


def test_every_state_has_a_row_and_the_last_one_has_no_way_out() -> None:
    assert set(TRANSITIONS) == set(State)
    assert [state for state, following in TRANSITIONS.items() if not following] == [State.STOPPED]
