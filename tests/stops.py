"""Stops of a real worker in each phase of its life: ``python -m tests.stops --each 50`` makes many, and counts them.

The model is the bundled one, so that native threads compute when the process ends. For publishing it is one that costs
nothing, so that publishing and tokenising are all there is.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import sys
import tempfile
import time
import uuid
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import kafka_tools
from conftest import TopicNames
from kafka_tools import Message
from worker_process import WorkerProcess, Workers, workers_for

from worker.devkafka import kafka_cluster
from worker.errors import ExitCode

PHASES = ("loading", "warm-up", "computing", "publishing")
GUARANTEES = ("at_least_once", "exactly_once")
BACKLOG = {"computing": 2_000, "publishing": 20_000}
GRACE_S = 1.0
LIMIT_S = 25.0
"""What the operations page allows beyond the grace period."""
USUAL_START_S = 0.5
"""About what loading and warm-up take, half of it each; after them the group is joined."""


@dataclass(frozen=True)
class Stop:
    """How one stop went."""

    phase: str
    code: int
    seconds: float
    faults: tuple[str, ...]


async def prepare(servers: str, names: TopicNames, phase: str) -> None:
    """Create the topics, and a backlog that takes longer than the grace period."""
    await kafka_tools.create_topics(servers, names.input, names.output, names.dead_letters, partitions=2)
    text = b"number %d was good and went on for a long time " * 8
    numbers = range(BACKLOG.get(phase, 0))
    messages = [Message(b'{"text":"%s"}' % (text % ((number,) * 8)), b"%d" % number) for number in numbers]
    await kafka_tools.produce(servers, names.input, messages)


async def stop_in(phase: str, guarantee: str, workers: Workers, servers: str) -> Stop:
    """Start a worker, stop it in the phase, and look at its end."""
    special = "free" if phase == "publishing" else None
    worker = workers.start(servers, special=special, processing_guarantee=guarantee, grace_period_s=GRACE_S)
    await reach(phase, worker)
    stopped_at = time.monotonic()
    code = await worker.stopped()
    seconds = time.monotonic() - stopped_at
    expected = {"computing": {ExitCode.GRACE_EXCEEDED}, "publishing": {ExitCode.OK, ExitCode.GRACE_EXCEEDED}}
    return Stop(phase, code, seconds, tuple(faults(worker, code, seconds, expected.get(phase, {ExitCode.OK}))))


async def reach(phase: str, worker: WorkerProcess) -> None:
    """Wait for a moment of the phase."""
    await worker.says("health and metrics on")
    if phase in PHASES[:2]:
        await asyncio.sleep((random.random() + PHASES.index(phase)) * USUAL_START_S / 2)
        return
    await worker.ready()
    if phase == "computing":
        await worker.reaches("in_flight_reviews", BACKLOG[phase] / 2)
        await asyncio.sleep(random.random() / 2)
    else:
        await worker.reaches("events_out_total", 1)


def faults(worker: WorkerProcess, code: int, seconds: float, expected: set[ExitCode]) -> list[str]:
    """What is not as the operations page has it."""
    found = [] if code in expected else [f"exit code {code}"]
    if seconds > GRACE_S + LIMIT_S:
        found.append(f"{seconds:.0f} s")
    if "terminate called" in worker.output or "Traceback" in worker.output:
        found.append("not a clean end")
    lines = [line for line in worker.errors if line.startswith("error: ")]
    entries = [json.loads(line) for line in worker.output.splitlines() if '"exit_code"' in line]
    wanted = 0 if code == ExitCode.OK else 1
    if len(lines) != wanted or [each["exit_code"] for each in entries] != [code] * wanted:
        found.append(f"{len(lines)} lines and {len(entries)} entries")
    return found


async def _many(phases: Sequence[str], each: int, servers: str, folder: Path) -> bool:
    sound = True
    for phase in phases:
        for guarantee in GUARANTEES:
            stops = []
            for number in range(each // len(GUARANTEES)):
                unique = uuid.uuid4().hex[:12]
                names = TopicNames(f"{unique}.in", f"{unique}.out", f"{unique}.dlq", unique)
                if phase in PHASES[2:]:
                    await prepare(servers, names, phase)
                place = folder / f"{phase}-{guarantee}-{number}"
                place.mkdir()
                with workers_for(names, place, show=False) as workers:
                    stops.append(await stop_in(phase, guarantee, workers, servers))
                if stops[-1].faults:
                    print(stops[-1], workers.started[0].shown(), flush=True)
                await kafka_tools.delete_topics(servers, names.input, names.output, names.dead_letters)
            slowest = max(stop.seconds for stop in stops)
            good = sum(not stop.faults for stop in stops)
            codes = dict(Counter(stop.code for stop in stops))
            print(
                f"{phase:10} {guarantee:13} {good} of {len(stops)}, codes {codes}, slowest {slowest:.1f} s", flush=True
            )
            sound &= good == len(stops)
    return sound


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--each", type=int, default=50, help="stops in each phase, half of them exactly once")
    parser.add_argument("--phase", choices=PHASES, action="append", help="only this one")
    options = parser.parse_args()
    with kafka_cluster() as cluster, tempfile.TemporaryDirectory() as folder:
        sound = asyncio.run(_many(options.phase or PHASES, options.each, cluster.bootstrap_servers, Path(folder)))
    return 0 if sound else 1


if __name__ == "__main__":
    sys.exit(main())
