"""``make bench-rebalance``: how long no output comes when a worker joins, leaves, dies, is frozen or starts again.

Three workers with a model that costs nothing, six partitions, a steady stream; each measurement has a group and topics
of its own. Prints a table and writes ``build/bench/rebalance.json``. ``--repeat``, ``--sessions``, ``--heartbeats``,
``--guarantee`` and ``--quick`` choose.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from tests.benchmarks.machine import machine, table, write_results
from tests.benchmarks.silence import Silence, longest_silence
from tests.benchmarks.steady_group import PARTITIONS, SteadyGroup, steady_group
from worker.devkafka import kafka_cluster

NAMES = ("one", "two", "three")
QUIET_S = 3.0
FROZEN_S = 8.0


async def nothing(group: SteadyGroup) -> None:
    """What the reader itself sees as silence."""
    await asyncio.sleep(QUIET_S)


async def joins(group: SteadyGroup) -> None:
    """Two are three from now on."""
    await group.start("three")


async def leaves(group: SteadyGroup) -> None:
    """SIGTERM, and nobody takes its place."""
    await group.running.pop("three").stopped()


async def dies(group: SteadyGroup) -> None:
    """SIGKILL, and nobody takes its place."""
    group.running.pop("three").kill()


async def restarts(group: SteadyGroup) -> None:
    """SIGTERM, and the next one is started when it has ended: a rolling update."""
    await leaves(group)
    await group.start("three")


async def dies_and_restarts(group: SteadyGroup) -> None:
    """SIGKILL, and the next one is started at once: what a supervisor does."""
    await dies(group)
    await group.start("three")


async def freezes(group: SteadyGroup) -> None:
    """A virtual machine that stands still for a while."""
    frozen = group.running["three"]
    frozen.send(signal.SIGSTOP)
    await asyncio.sleep(FROZEN_S)
    frozen.send(signal.SIGCONT)


class Case(NamedTuple):
    """One row of the table."""

    name: str
    action: Callable[[SteadyGroup], Awaitable[None]]
    static: bool
    session_timeout_s: float
    heartbeat_interval_s: float
    guarantee: str

    @property
    def membership(self) -> str:
        return "static" if self.static else "dynamic"

    @property
    def key(self) -> str:
        """Its name among the figures."""
        parts = (self.guarantee, self.membership, self.name, f"session_{self.session_timeout_s:g}")
        return "_".join((*parts, f"heartbeat_{self.heartbeat_interval_s:g}")).replace(" ", "_")


class Measurement(NamedTuple):
    """One repetition."""

    silence: Silence
    rebalances: float
    """Of a worker that stays."""
    repeated: int


def cases(sessions: list[float], heartbeats: list[float], guarantees: list[str]) -> Iterator[Case]:
    """Everything once with the longest session; with the others where the time-out matters."""
    always = {"nothing": nothing, "joins": joins, "leaves": leaves, "restarts": restarts}
    by_timeout = {"dies": dies, "dies and restarts": dies_and_restarts, f"frozen {FROZEN_S:g} s": freezes}
    longest = max(sessions)
    for guarantee in guarantees:
        for heartbeat in heartbeats:
            for static in (False, True):
                for session in sessions:
                    actions = {**always, **by_timeout} if session == longest else dict(by_timeout)
                    if static and session != longest:
                        actions["leaves"] = leaves
                    for name, action in actions.items():
                        yield Case(name, action, static, session, heartbeat, guarantee)


async def measure(servers: str, folder: Path, case: Case, rate: float) -> Measurement:
    """A group of its own, the action, and the longest silence from shortly before it until all is as it should be."""
    settings = {
        "session_timeout_s": case.session_timeout_s,
        "heartbeat_interval_s": case.heartbeat_interval_s,
        "processing_guarantee": case.guarantee,
    }
    names = NAMES[:2] if case.action is joins else NAMES
    async with steady_group(servers, folder, *names, rate=rate, static=case.static, **settings) as group:
        before = await group.rebalances("one")
        start = time.monotonic()
        await case.action(group)
        await group.shared()
        produced = group.produced
        await group.caught_up()
        await asyncio.sleep(QUIET_S / 3)
        end = max(arrival.at for arrival in group.arrivals)
        assert len(group.arrivals) >= produced - rate
        silence = longest_silence(group.arrivals, PARTITIONS, start, end)
        return Measurement(silence, await group.rebalances("one") - before, group.repeated)


async def run(servers: str, folder: Path, chosen: list[Case], *, repeat: int, rate: float) -> None:
    """Measure all cases in turns, print the table and write the figures."""
    found: dict[Case, list[Measurement]] = {case: [] for case in chosen}
    for turn in range(repeat):
        for case in chosen:
            measurement = await measure(servers, folder, case, rate)
            found[case].append(measurement)
            print(f"{turn + 1}/{repeat} {case.key}: {measurement.silence.of_a_partition:.2f} s", flush=True)
    figures: dict[str, object] = {"machine": machine(), "repeat": repeat, "events_per_s": rate}
    rows = []
    for case, measurements in found.items():
        partition = [each.silence.of_a_partition for each in measurements]
        topic = [each.silence.of_the_topic for each in measurements]
        rows.append(
            (
                *(case.guarantee, case.membership, case.name, case.session_timeout_s, case.heartbeat_interval_s),
                *(statistics.median(partition), max(partition), statistics.median(topic), max(topic)),
                *(max(each.rebalances for each in measurements), max(each.repeated for each in measurements)),
            )
        )
        figures[case.key] = {"partition_s": partition, "topic_s": topic}
    table(
        f"Longest time without output, seconds: {len(NAMES)} workers, {PARTITIONS} partitions, {rate:g} events/s,"
        f" {repeat} repetitions; rebalances are those of a worker that stays",
        (
            *("guarantee", "membership", "a worker", "session", "heartbeat", "partition, median", "worst"),
            *("topic, median", "worst", "rebalances", "repeated"),
        ),
        rows,
    )
    print(f"\nwritten to {write_results('rebalance', figures)}")


def main() -> None:
    """Start a Kafka, or take the configured one, and measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--rate", type=float, default=300.0, help="events a second")
    parser.add_argument("--sessions", type=float, nargs="+", default=[6.0, 10.0, 30.0], help="session_timeout_s")
    parser.add_argument("--heartbeats", type=float, nargs="+", default=[3.0, 1.0], help="heartbeat_interval_s")
    parser.add_argument("--guarantee", nargs="+", default=["at_least_once", "exactly_once"])
    parser.add_argument("--only", nargs="+", help="names of the actions to measure, all without it")
    parser.add_argument("--quick", action="store_true", help="one repetition, the shortest session, one heartbeat")
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.repeat, arguments.sessions, arguments.heartbeats = (
            1,
            arguments.sessions[:1],
            arguments.heartbeats[-1:],
        )
    chosen = [
        case
        for case in cases(arguments.sessions, arguments.heartbeats, arguments.guarantee)
        if not arguments.only or case.name in arguments.only
    ]
    print(machine())
    with kafka_cluster() as cluster, tempfile.TemporaryDirectory() as folder:
        asyncio.run(run(cluster.bootstrap_servers, Path(folder), chosen, repeat=arguments.repeat, rate=arguments.rate))


if __name__ == "__main__":
    main()
