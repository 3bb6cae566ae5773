"""The workers that are broken on purpose, and the scenario that must notice each."""

from __future__ import annotations

from tests.chaos.scenario import GUARANTEES, Guarantee
from tests.chaos.scenarios import moments
from tests.chaos.traps import Trap, add_trap

AT_LEAST_ONCE: tuple[Guarantee, ...] = ("at_least_once",)
EXACTLY_ONCE: tuple[Guarantee, ...] = ("exactly_once",)


def _add(name: str, scenario: str, catches: str, guarantees: tuple[Guarantee, ...], about: str) -> None:
    variables = {"TEST_TRAP": name}
    add_trap(Trap(name, about, moments.BROKEN_WORKER, scenario, catches, guarantees, variables, scale=1.0))


_add(
    "acknowledge-at-intake", "dead_letter_refused_behind_a_gap", "lost", AT_LEAST_ONCE,
    "An offset is completed as soon as it is taken, like Faust's take(), which acknowledges whatever happens.",
)  # fmt: skip
_add(
    "step-over-head", "dead_letter_refused_behind_a_gap", "lost", AT_LEAST_ONCE,
    "The highest completed offset is committed, like Faust's _new_offset, over an incomplete one.",
)  # fmt: skip
_add(
    "gap-marks-next", "dead_letter_refused_behind_a_gap", "lost", AT_LEAST_ONCE,
    "The event after a gap in the offsets counts as done, like Faust's _add_gap.",
)  # fmt: skip
_add(
    "reads-uncommitted", "dead_letter_refused_behind_a_gap", "unknown", GUARANTEES,
    "What upstream aborts is classified.",
)  # fmt: skip
_add(
    "stale-acknowledged", "rebalance_with_reviews_in_flight", "lost", AT_LEAST_ONCE,
    "What the end of an assignment drops is committed, like Faust's stale events.",
)  # fmt: skip
_add(
    "old-generation-published", "rebalance_with_reviews_in_flight", "repeated", GUARANTEES,
    "The old owner goes on publishing after a rebalance.",
)  # fmt: skip
_add(
    "skips-on-error", "bug_in_the_session", "lost", GUARANTEES,
    "A batch that raises is skipped, and work goes on.",
)  # fmt: skip
_add(
    "no-follows-check", "bug_in_the_agent", "lost", GUARANTEES,
    "An agent that raises has skipped a chunk, like Faust's with noack, and nobody misses it.",
)  # fmt: skip
_add(
    "early-chunks-dropped", "chunks_before_their_generation", "lost", GUARANTEES,
    "Chunks that are there before their generation has begun are dropped.",
)  # fmt: skip
_add(
    "no-release-order", "slow_first_batch", "reordered", AT_LEAST_ONCE,
    "Results are published in the order in which they are computed.",
)  # fmt: skip
_add(
    "no-fencing", "taken_over_at_the_commit", "repeated", EXACTLY_ONCE,
    "The committed offset is read before the old owner is fenced.",
)  # fmt: skip
_add(
    "plain-offset-commit", "killed_after_the_commit", "repeated", EXACTLY_ONCE,
    "The offsets are committed outside the transaction.",
)  # fmt: skip
