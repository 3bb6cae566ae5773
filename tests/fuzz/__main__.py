"""``make fuzz``: a million mutated events through a real broker and a real worker; exit code 1 when anything is wrong.

``ARGS="--events N --seed S"`` chooses; one event in ``--huge-every`` has 10 MB, or close to the limit of one.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import uuid
from pathlib import Path

from conftest import TopicNames

from tests.benchmarks.machine import machine, table
from tests.fuzz.through_kafka import SHOWN, Report, fuzz
from worker.devkafka import kafka_cluster


def show(report: Report) -> None:
    """Print what came of each kind, and what was wrong."""
    outcomes = sorted(report.by_outcome)
    kinds = sorted({kind for kind, _ in report.outcomes})
    rows = [(kind, *(report.outcomes[kind, outcome] for outcome in outcomes)) for kind in kinds]
    rows.append(("all", *(report.by_outcome[outcome] for outcome in outcomes)))
    table(f"{report.events:,} events, seed {report.seed}", ("kind", *outcomes), rows)
    print(f"\n{report.seconds:.0f} s, peak memory of the worker {report.peak_mib:.0f} MiB, {len(report.wrong)} faults")
    for line in report.wrong[:SHOWN]:
        print(f"wrong: {line}")


def main() -> int:
    """Start a Kafka, or take the configured one, and fuzz."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--huge-every", type=int, default=20_000)
    parser.add_argument(
        "--free-model", action="store_true", help="a session that costs nothing behind the real tokeniser"
    )
    arguments = parser.parse_args()
    print(machine())
    unique = f"fuzz.{uuid.uuid4().hex[:8]}"
    names = TopicNames(f"{unique}.in", f"{unique}.out", f"{unique}.dlq", unique)
    with kafka_cluster() as cluster, tempfile.TemporaryDirectory() as folder:
        report = asyncio.run(
            fuzz(
                cluster.bootstrap_servers,
                names,
                Path(folder),
                events=arguments.events,
                seed=arguments.seed,
                huge_every=arguments.huge_every,
                special="free" if arguments.free_model else None,
            )
        )
    show(report)
    return 1 if report.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
