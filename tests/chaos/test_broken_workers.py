"""A worker with one protection taken away is caught by the verifier, and the unbroken worker passes the same situation."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest
from ledger import Verdict
from tests.chaos.situations import Situation, played

from tests.chaos import situations
from worker.devkafka import Cluster

MAX_REPEATS = {situations.dead_letter_refused_behind_a_gap: 21}
"""Outputs that were published and could not be committed. Nothing else repeats anything."""
TRAPS = [
    ("acknowledge-at-intake", situations.dead_letter_refused_behind_a_gap, "lost"),
    ("step-over-head", situations.dead_letter_refused_behind_a_gap, "lost"),
    ("gap-marks-next", situations.dead_letter_refused_behind_a_gap, "lost"),
    ("reads-uncommitted", situations.dead_letter_refused_behind_a_gap, "unknown"),
    ("stale-acknowledged", situations.rebalance_with_reviews_in_flight, "lost"),
    ("old-generation-published", situations.rebalance_with_reviews_in_flight, "repeated"),
    ("skips-on-error", situations.session_with_a_bug, "lost"),
    ("no-follows-check", situations.agent_with_a_bug, "lost"),
    ("early-chunks-dropped", situations.chunks_before_their_generation, "lost"),
    ("no-release-order", situations.slow_first_batch, "reordered"),
]
SITUATIONS = list(dict.fromkeys(situation for _, situation, _ in TRAPS))
UNBROKEN = ""
Verdicts = dict[str, Verdict | BaseException]


@pytest.fixture(scope="module")
def verdicts(kafka: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Callable[[Situation], Verdicts]:
    """Plays a situation once with the unbroken and with every broken worker, all at the same time."""
    known: dict[Situation, Verdicts] = {}

    def of(situation: Situation) -> Verdicts:
        if situation not in known:
            folder = tmp_path_factory.mktemp(situation.__name__)
            known[situation] = asyncio.run(play_all(kafka.bootstrap_servers, folder, situation))
        return known[situation]

    return of


async def play_all(servers: str, folder: Path, situation: Situation) -> Verdicts:
    traps = [UNBROKEN, *(trap for trap, where, _ in TRAPS if where is situation)]
    verdicts = (verdict(servers, folder / (trap or "unbroken"), situation, trap) for trap in traps)
    return dict(zip(traps, await asyncio.gather(*verdicts, return_exceptions=True), strict=True))


async def verdict(servers: str, folder: Path, situation: Situation, trap: str) -> Verdict:
    ledger = await played(servers, folder, situation, (trap,) if trap else ())
    return await ledger.settled(servers, deadline_s=0)


def found(verdict: Verdict | BaseException) -> Verdict:
    if isinstance(verdict, BaseException):
        raise verdict
    print(verdict)
    return verdict


@pytest.mark.parametrize("situation", SITUATIONS, ids=lambda situation: situation.__name__)
def test_the_unbroken_worker_passes(verdicts: Callable[[Situation], Verdicts], situation: Situation) -> None:
    found(verdicts(situation)[UNBROKEN]).check(max_repeats=MAX_REPEATS.get(situation, 0))


@pytest.mark.parametrize(("trap", "situation", "fault"), TRAPS, ids=[trap for trap, _, _ in TRAPS])
def test_a_broken_worker_is_caught(
    verdicts: Callable[[Situation], Verdicts], trap: str, situation: Situation, fault: str
) -> None:
    verdict = found(verdicts(situation)[trap])
    with pytest.raises(AssertionError, match=f"{fault}: "):
        verdict.check(max_repeats=MAX_REPEATS.get(situation, 0))
