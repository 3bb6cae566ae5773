"""``make bench-memory``: the most memory that a worker takes under loads of many kinds.

Prints a table (exit code 1 when a bound is not kept) and writes ``build/bench/memory.json``.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import uuid
from pathlib import Path

from conftest import TopicNames
from worker_process import workers_for

from tests.benchmarks.machine import machine, table, write_results
from tests.benchmarks.memory import LOADS, Load, Seen, measured
from worker.devkafka import kafka_cluster

PARTITIONS = (6, 60)
GUARANTEES = ("at_least_once", "exactly_once")


async def one(servers: str, load: Load, partitions: int, guarantee: str) -> Seen:
    """One worker under one load."""
    unique = f"bench.{uuid.uuid4().hex[:8]}"
    names = TopicNames(f"{unique}.in", f"{unique}.out", f"{unique}.dlq", unique)
    with tempfile.TemporaryDirectory() as folder, workers_for(names, Path(folder), show=False) as workers:
        return await measured(servers, names, workers, load, partitions, processing_guarantee=guarantee)


async def run(servers: str, wanted: str, partitions: list[int], guarantees: list[str]) -> bool:
    """All loads; answers whether every bound was kept."""
    rows, figures = [], []
    for load in (load for load in LOADS if wanted in load.name):
        for count in partitions:
            for guarantee in guarantees:
                seen = await one(servers, load, count, guarantee)
                kept = seen.above_idle_mib <= load.bound_mib
                row = (load.name, count, guarantee, seen.records, *(round(value) for value in seen[1:]))
                rows.append((*row, round(seen.above_idle_mib), load.bound_mib, "yes" if kept else "NO"))
                figures.append({"load": load.name, "partitions": count, "guarantee": guarantee, **seen._asdict()})
                print(*rows[-1], flush=True)
    columns = ("load", "partitions", "guarantee", "records", "idle MiB", "peak", "in flight", "above idle", "bound", "")
    table("peak memory", columns, rows)
    print(f"\nwritten to {write_results('memory', {'machine': machine(), 'loads': figures})}")
    return all(row[-1] == "yes" for row in rows)


def main() -> int:
    """Start a Kafka, and measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--load", default="", help="only loads with this in their name")
    parser.add_argument("--partitions", type=int, action="append", help="so many partitions (may be repeated)")
    parser.add_argument("--guarantee", action="append", choices=GUARANTEES)
    arguments = parser.parse_args()
    print(machine())
    with kafka_cluster() as cluster:
        held = asyncio.run(
            run(
                cluster.bootstrap_servers,
                arguments.load,
                arguments.partitions or list(PARTITIONS),
                arguments.guarantee or list(GUARANTEES),
            )
        )
    return 0 if held else 1


if __name__ == "__main__":
    sys.exit(main())
