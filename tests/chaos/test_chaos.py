"""The short cut of the suite: every kind of fault once, at a small scale. ``make chaos`` runs all of it.

``CHAOS_SEED`` fixes the seed; it is shown when a test fails.
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chaos.kafkas import Kafkas
from tests.chaos.runner import play
from tests.chaos.scenario import SCENARIOS, SUPPORTED, Guarantee, Scenario
from tests.chaos.scenarios import load_all

load_all()
SEED = os.environ.get("CHAOS_SEED") or str(random.SystemRandom().randrange(10**6))
LOGS = Path("build") / "chaos" / "pytest"
BOTH = ("kills", "zombie", "the_broker_restarts")
"""Under pytest these are played with each guarantee, the others with the stricter one only."""
SHORT = [
    (scenario, guarantee)
    for scenario in sorted(SCENARIOS.values(), key=lambda scenario: scenario.need.brokers)
    for guarantee in scenario.guarantees
    if scenario.short and guarantee in SUPPORTED and (guarantee == "exactly_once" or scenario.name in BOTH)
]


@pytest.fixture(scope="module")
def kafkas() -> Iterator[Kafkas]:
    """One cluster after the other."""
    with Kafkas() as kafkas:
        yield kafkas


@pytest.mark.parametrize(("scenario", "guarantee"), SHORT, ids=lambda value: getattr(value, "name", value))
def test_promises_are_kept(kafkas: Kafkas, scenario: Scenario, guarantee: Guarantee) -> None:
    assert scenario.short is not None
    outcome = play(scenario, kafkas, guarantee=guarantee, seed=SEED, scale=scenario.short, logs=LOGS)
    shown = "\n".join(f"{moment.at_s:8.3f} {moment.subject:<10} {moment.what}" for moment in outcome.moments)
    assert outcome.passed, f"seed {SEED}: {'; '.join(outcome.broken)}\nlogs: {outcome.logs}\n{shown}"
