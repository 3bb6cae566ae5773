"""The short cut of the suite: every kind of fault once, at a small scale. ``make chaos`` runs all of it.

Most scenarios are played with one of their guarantees, in turns. Those that can share a Kafka are played a few at once:
much of what they do is to wait. ``CHAOS_SEED`` fixes the seed; it is shown when a test fails.
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.chaos.kafkas import Kafkas
from tests.chaos.outcome import Outcome
from tests.chaos.runner import play
from tests.chaos.scenario import SCENARIOS, SUPPORTED, Guarantee, Need, Scenario
from tests.chaos.scenarios import load_all

load_all()
SEED = os.environ.get("CHAOS_SEED") or str(random.SystemRandom().randrange(10**6))
AT_ONCE = 3
LOGS = Path("build") / "chaos" / "pytest"
BOTH = ("kills", "zombie")
"""These are played with each guarantee."""


class Case(NamedTuple):
    """One test."""

    scenario: str
    guarantee: Guarantee

    @property
    def shares_its_kafka(self) -> bool:
        """Whether others may use it meanwhile."""
        scenario = SCENARIOS[self.scenario]
        return scenario.need == Need() and scenario.alone_with != "kafka"


def cases() -> Iterator[Case]:
    """All tests; scenarios with the same need follow each other."""
    short = sorted((each for each in SCENARIOS.values() if each.short), key=lambda scenario: str(scenario.need))
    for number, scenario in enumerate(short):
        possible = [guarantee for guarantee in scenario.guarantees if guarantee in SUPPORTED]
        chosen = possible if scenario.name in BOTH else [possible[number % len(possible)]]
        yield from (Case(scenario.name, guarantee) for guarantee in chosen)


SHARING = [case for case in cases() if case.shares_its_kafka]
ALONE = [case for case in cases() if not case.shares_its_kafka]


@pytest.fixture(scope="module")
def kafkas() -> Iterator[Kafkas]:
    """One cluster after the other."""
    with Kafkas() as kafkas:
        yield kafkas


@pytest.fixture(scope="module")
def under_way(request: pytest.FixtureRequest, kafkas: Kafkas) -> Iterator[dict[Case, Future[Outcome]]]:
    """Those that share a Kafka and were asked for; one at a time those that share the proxies too."""
    asked_for = {item.callspec.params.get("shared") for item in request.session.items if item.module is request.module}
    kafkas.get(Need())
    with ThreadPoolExecutor(AT_ONCE) as threads, ThreadPoolExecutor(1) as one_thread:

        def start(case: Case) -> Future[Outcome]:
            behind_proxies = SCENARIOS[case.scenario].alone_with == "proxies"
            return (one_thread if behind_proxies else threads).submit(play_short, case, kafkas)

        yield {case: start(case) for case in SHARING if case in asked_for}


def play_short(case: Case, kafkas: Kafkas) -> Outcome:
    scenario: Scenario = SCENARIOS[case.scenario]
    assert scenario.short is not None
    return play(scenario, kafkas, guarantee=case.guarantee, seed=SEED, scale=scenario.short, logs=LOGS)


def check(outcome: Outcome) -> None:
    moments = "\n".join(f"{moment.at_s:8.3f} {moment.subject:<10} {moment.what}" for moment in outcome.moments)
    assert outcome.passed, f"seed {SEED}: {'; '.join(outcome.broken)}\nlogs: {outcome.logs}\n{moments}"


@pytest.mark.parametrize("shared", SHARING, ids="-".join)
def test_promises_are_kept(under_way: dict[Case, Future[Outcome]], shared: Case) -> None:
    check(under_way[shared].result())


@pytest.mark.parametrize("alone", ALONE, ids="-".join)
def test_promises_are_kept_without_company(under_way: dict[Case, Future[Outcome]], kafkas: Kafkas, alone: Case) -> None:
    wait(under_way.values())
    check(play_short(alone, kafkas))
