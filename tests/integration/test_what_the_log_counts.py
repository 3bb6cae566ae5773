"""What a worker says of its work: dead letters by reason, totals, and the time of each record. Never a text."""

from __future__ import annotations

from collections import Counter

import kafka_tools
import pytest
from kafka_tools import Message
from ledger import Ledger
from worker_process import LogLine, Workers, eventually

from worker.devkafka import Cluster
from worker.errors import ExitCode

GOOD, BROKEN, BLANK = 40, 5, 2
SECRET = "nobody may read this"


@pytest.mark.parametrize("guarantee", ["at_least_once", "exactly_once"])
async def test_dead_letters_and_totals_are_in_the_log(
    kafka: Cluster, workers: Workers, ledger: Ledger, guarantee: str
) -> None:
    servers, names = kafka.bootstrap_servers, ledger.names
    await kafka_tools.create_topics(servers, names.input, names.output, names.dead_letters, partitions=1)
    worker = await workers.start(servers, special="free", processing_guarantee=guarantee, totals_interval_s=0.5).ready()
    messages = [Message(b'{"text":"%s"}' % SECRET.encode(), partition=0)] * GOOD
    messages += [Message(SECRET.encode(), partition=0)] * BROKEN + [Message(b'{"text":" "}', partition=0)] * BLANK
    await ledger.produce(servers, messages)
    (await ledger.settled(servers)).check()

    def warned() -> list[LogLine]:
        return worker.said("dead letters")

    await eventually(lambda: len({line.fields["reason"] for line in warned()}) == 2, "both reasons are in the log")
    await worker.says("events so far")
    await ledger.produce(servers, [Message(SECRET.encode(), partition=0)])
    (await ledger.settled(servers)).check()
    total = GOOD + BROKEN + BLANK + 1
    await worker.reaches("end_to_end_seconds_count", total)
    metrics = await worker.metrics()
    assert metrics["worker_seconds_count"] == metrics["end_to_end_seconds_count"] == total
    assert await worker.stopped() == ExitCode.OK

    lines = warned()
    counts: Counter[str] = Counter()
    for line in lines:
        counts[line.fields["reason"]] += line.fields["count"]
    assert counts == {"not_json": BROKEN + 1, "text_blank": BLANK}
    assert {line.level for line in lines} == {"WARNING"}
    assert Counter(line.fields["reason"] for line in lines).most_common() == [("not_json", 2), ("text_blank", 1)]
    positions = [line.fields["first"] for line in lines if line.fields["reason"] == "not_json"]
    assert positions == [f"{names.input}/0/{GOOD}", f"{names.input}/0/{GOOD + BROKEN + BLANK}"]
    (end,) = worker.said("events in all")
    assert {name: end.fields[name] for name in ("in", "out", "dead", "lag")} == {
        "in": total,
        "out": GOOD,
        "dead": BROKEN + BLANK + 1,
        "lag": 0,
    }
    assert end.level == "INFO"
    assert end.fields["rate"] > 0
    assert SECRET not in worker.output


async def test_a_worker_that_fails_tells_what_it_did(kafka: Cluster, workers: Workers, ledger: Ledger) -> None:
    servers, names = kafka.bootstrap_servers, ledger.names
    await kafka_tools.create_topics(servers, names.input, names.output, names.dead_letters, partitions=1)
    worker = workers.start(servers, special="free", fuse_run_length=10)
    await ledger.produce(servers, [Message(SECRET.encode(), partition=0)] * 30)
    assert await worker.ended() == ExitCode.FUSE
    (end,) = worker.said("events in all")
    letters = [line for line in worker.said("dead letters") if "count" in line.fields]
    assert sum(line.fields["count"] for line in letters) == end.fields["dead"]
    assert SECRET not in worker.output
