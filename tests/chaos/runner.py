"""Plays a scenario and judges it."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
import traceback
from pathlib import Path

from audit import Verdict

from tests.chaos.kafkas import Kafkas
from tests.chaos.outcome import Outcome
from tests.chaos.scenario import Guarantee, Scenario
from tests.chaos.stage import Stage
from tests.chaos.traps import Trap

SETTLE_S = 120.0
STALL_S = 1.0
POLL_S = 0.1


def play(
    scenario: Scenario,
    kafkas: Kafkas,
    *,
    guarantee: Guarantee,
    seed: str,
    scale: float,
    logs: Path,
    trap: Trap | None = None,
) -> Outcome:
    """Play `scenario` once; blocks. The logs of its workers are kept under `logs` when a promise was broken."""
    kafka = kafkas.get(scenario.need)
    with tempfile.TemporaryDirectory(prefix="reviews-worker-chaos-") as folder:
        stage = Stage(scenario, kafka, guarantee, scale, seed, Path(folder), trap)
        verdict = asyncio.run(_play(stage))
        outcome = Outcome(
            scenario=scenario.name,
            theme=scenario.theme,
            about=scenario.about,
            guarantee=guarantee,
            seed=seed,
            scale=scale,
            seconds=round(stage.timeline.elapsed_s, 1),
            verdict=verdict,
            broken=stage.broken,
            allowed_repeats=stage.allowed_repeats,
            allowances=stage.allowances,
            facts=stage.facts,
            moments=stage.timeline.moments,
            trap=trap.name if trap else "",
            catches=trap.catches if trap else "",
            workers=len(stage.workers.started),
        )
        if outcome.broken or not outcome.passed:
            kept = logs / "-".join(filter(None, (scenario.name, guarantee, outcome.trap)))
            shutil.rmtree(kept, ignore_errors=True)
            shutil.copytree(folder, kept)
            outcome.logs = str(kept)
    return outcome


async def _play(stage: Stage) -> Verdict | None:
    verdict = None
    watching = asyncio.create_task(_notice_stalls(stage))
    limit_s = stage.scenario.time_limit_s(stage.scale)
    try:
        async with asyncio.timeout(limit_s):
            await stage.scenario.play(stage)
            verdict = await stage.settled(SETTLE_S if stage.running else 0)
            verdict = await _closed(stage)
    except TimeoutError:
        stage.promise(False, f"the scenario ends within {limit_s:g} s")
    except Exception as error:
        stage.promise(False, f"{type(error).__name__}: {error}")
        (stage.folder / "scenario.log").write_text(traceback.format_exc())
    finally:
        watching.cancel()
        await stage.close()
    if verdict is None:
        verdict = await _what_there_is(stage)
    if verdict is not None:
        for fault in verdict.faults(max_repeats=stage.allowed_repeats):
            stage.promise(False, fault)
        at_once = max((count for count, _ in stage.allowances), default=0)
        if verdict.longest_rewind > at_once:
            stage.promise(False, f"repeated in one go: {verdict.longest_rewind}, allowed {at_once}")
    return verdict


async def _notice_stalls(stage: Stage) -> None:
    """Say where the suite itself stood still: its proxies and its load did too, which is no fault of a worker."""
    before = stage.timeline.elapsed_s
    while True:
        await asyncio.sleep(POLL_S)
        now = stage.timeline.elapsed_s
        if now - before > STALL_S:
            stage.note("suite", f"stood still for {now - before:.1f} s")
        before = now


async def _closed(stage: Stage) -> Verdict:
    """Stop all workers and read what they published to the end: late repeats count too."""
    for complaint in stage.unexpected_ends():
        stage.promise(False, complaint)
    # A process that has only just started does not know what SIGTERM means yet.
    running = stage.running
    await asyncio.gather(*(worker.says("health and metrics on") for worker in running))
    await asyncio.gather(*(stage.stop(worker) for worker in stage.running))
    for worker in stage.workers.started:
        if bugs := stage.bugs(worker):
            stage.promise(False, f"no bug in {stage.subject(worker)}: {bugs[0]}")
        if "Traceback" in worker.output:
            stage.fact(f"a traceback in the log of {stage.subject(worker)} ({worker.log_file.name})")
    verdict = await stage.settled(0)
    if running and not verdict.lost:
        stage.promise(await stage.everything_is_committed(), "everything published is committed by workers that stop")
    return verdict


async def _what_there_is(stage: Stage) -> Verdict | None:
    """After a scenario that went wrong: the figures, if the topics can be read."""
    try:
        async with asyncio.timeout(SETTLE_S):
            return await stage.settled(0)
    except Exception as error:
        stage.fact(f"the output could not be read ({type(error).__name__}: {error})")
        return None
