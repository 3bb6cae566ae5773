"""``make chaos``: every scenario with every guarantee, and the broken workers that must be caught.

Prints a table and writes ``build/chaos/report.json`` and ``build/chaos/report.html``; exits with 1 when a promise is
broken. The seed is printed at the beginning and at the end.
"""

from __future__ import annotations

import argparse
import logging
import os
import platform
import random
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.chaos.kafkas import Kafkas
from tests.chaos.outcome import Outcome
from tests.chaos.report import Run, table, write_report
from tests.chaos.runner import play
from tests.chaos.scenario import GUARANTEES, SCENARIOS, SUPPORTED, Guarantee, Scenario
from tests.chaos.scenarios import load_all
from tests.chaos.traps import TRAPS, Trap
from worker.devkafka import DevKafkaError

FOLDER = Path("build") / "chaos"
TRAP_SCALE = 0.05
Case = tuple[Scenario, Guarantee, float, Trap | None]


def main(arguments: Sequence[str]) -> int:
    """Run what was asked for; answers the exit code."""
    load_all()
    options = _options(arguments)
    cases = _cases(options)
    if options.list:
        print(_listed(cases))
        return 0
    # The clients of the suite itself meet the same faults, and say so.
    logging.getLogger("aiokafka").addHandler(logging.NullHandler())
    logging.getLogger("aiokafka").propagate = False
    seed = options.seed or str(random.SystemRandom().randrange(10**6))
    print(f"seed {seed}: {len(cases)} runs", flush=True)
    outcomes: list[Outcome] = []
    run = Run(seed, _command(arguments, seed), f"{os.cpu_count()} cores, {platform.platform()}", outcomes)
    try:
        with Kafkas() as kafkas:
            for number, (scenario, guarantee, scale, trap) in enumerate(cases, start=1):
                name = f"{scenario.name}{f' [{trap.name}]' if trap else ''}"
                print(f"{number}/{len(cases)} {name}, {guarantee}, scale {scale:g} ...", flush=True)
                logs = options.out / "logs"
                outcomes.append(
                    play(scenario, kafkas, guarantee=guarantee, seed=seed, scale=scale, logs=logs, trap=trap)
                )
                write_report(run, options.out)  # a run takes long, and may be ended in the middle
                print(f"    {'ok' if outcomes[-1].passed else 'BROKEN'}: {outcomes[-1].verdict}", flush=True)
    except DevKafkaError as error:
        print(f"error: {error}", file=sys.stderr)
        return int(error.exit_code)
    print(f"\n{table(outcomes)}\n")
    print(f"reports: {options.out / 'report.html'}, {options.out / 'report.json'}")
    print(f"seed {seed}: {'all promises kept' if run.passed else 'PROMISES BROKEN'}")
    return 0 if run.passed else 1


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser("tests.chaos", description="Faults on purpose, and what became of the events.")
    parser.add_argument("--seed", help="any text; without it a number is drawn, and printed")
    parser.add_argument("--only", default="", help="scenarios, themes or broken workers, separated by commas")
    parser.add_argument("--guarantee", default=",".join(SUPPORTED), help="separated by commas")
    parser.add_argument("--scale", type=float, default=1.0, help="1 is the full number of faults")
    parser.add_argument("--out", type=Path, default=FOLDER, help="folder of the report")
    parser.add_argument("--list", action="store_true", help="show what there is, and run nothing")
    options = parser.parse_args(arguments)
    options.only = [name.strip() for name in options.only.split(",") if name.strip()]
    options.guarantee = [name.strip() for name in options.guarantee.split(",")]
    known = {name for each in SCENARIOS.values() for name in (each.name, each.theme)} | set(TRAPS) | {"broken"}
    if unknown := [name for name in options.only if name not in known]:
        parser.error(f"no scenario, theme or broken worker is called {', '.join(unknown)}; see --list")
    if unknown := [name for name in options.guarantee if name not in GUARANTEES]:
        parser.error(f"no guarantee is called {', '.join(unknown)}; there are {', '.join(GUARANTEES)}")
    if unknown := [name for name in options.guarantee if name not in SUPPORTED]:
        parser.error(f"this worker has no setting for {', '.join(unknown)}")
    if options.scale <= 0:
        parser.error("--scale must be above 0")
    return options


def _cases(options: argparse.Namespace) -> list[Case]:
    """In an order that starts as few clusters as possible."""
    only = set(options.only)
    cases: list[Case] = [
        (scenario, guarantee, options.scale, None)
        for scenario in SCENARIOS.values()
        if not only or {scenario.name, scenario.theme} & only
        for guarantee in scenario.guarantees
        if guarantee in options.guarantee
    ]
    for trap in TRAPS.values():
        if not only or {trap.name, "broken"} & only:
            scenario = SCENARIOS[trap.scenario]
            scale = trap.scale or scenario.short or TRAP_SCALE
            cases += [(scenario, each, scale, trap) for each in trap.guarantees if each in options.guarantee]
    needs = list(dict.fromkeys(scenario.need for scenario, *_ in cases))
    return sorted(cases, key=lambda case: needs.index(case[0].need))


def _listed(cases: Sequence[Case]) -> str:
    lines = []
    for scenario, guarantee, scale, trap in cases:
        about = f"{trap.about} Must be caught: {trap.catches}." if trap else scenario.about
        name = f"{scenario.name} [{trap.name}]" if trap else scenario.name
        lines.append(f"{scenario.theme:<12} {name:<44} {guarantee:<14} {scale:<5g} {about}")
    return "\n".join(lines)


def _command(arguments: Sequence[str], seed: str) -> str:
    rest = list(arguments)
    if "--seed" in rest:
        at = rest.index("--seed")
        del rest[at : at + 2]
    return f'make chaos ARGS="{shlex.join(["--seed", seed, *rest])}"'


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
