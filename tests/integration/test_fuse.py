"""The fuse: a wrong producer or a wrong setting must not drain the input topic into the dead letters."""

from __future__ import annotations

import kafka_tools
import pytest
from kafka_tools import Message
from ledger import Ledger
from worker_process import Workers

from worker.devkafka import Cluster
from worker.errors import ExitCode

COUNT = 3000


def other_member(number: int) -> Message:
    return Message(b'{"id":%d,"review":"this was good"}' % number, b"key-%d" % (number % 8))


def deleted(number: int) -> Message:
    """What Debezium sends for a row that is deleted."""
    return Message(b'{"payload":{"op":"d","before":{"id":%d},"after":null}}' % number, b"key-%d" % (number % 8))


def every_third_is_dead(number: int) -> Message:
    return other_member(number) if number % 3 == 0 else Message(b'{"text":"this was good"}', b"key-%d" % (number % 8))


@pytest.mark.parametrize(
    ("make", "settings", "said"),
    [
        pytest.param(other_member, {"fuse_run_length": 100}, "the last 100 events were all dead letters", id="run"),
        pytest.param(
            every_third_is_dead,
            {"fuse_share": 0.3, "fuse_window_reviews": 400},
            "of the last 400 events were dead letters (limit 120)",
            id="share",
        ),
    ],
)
async def test_the_fuse_stops_the_worker_with_one_line_and_a_restart_with_the_right_setting_goes_on(
    kafka: Cluster, workers: Workers, ledger: Ledger, make, settings: dict[str, object], said: str
) -> None:
    servers, names = kafka.bootstrap_servers, ledger.names
    await kafka_tools.create_topics(servers, names.input, partitions=2)
    await ledger.produce(servers, map(make, range(COUNT)))
    stopped = workers.start(servers, special="free", **settings)
    assert await stopped.ended() == ExitCode.FUSE
    assert "Traceback" not in stopped.output
    (line,) = stopped.errors
    assert said in line
    assert "check that text_field names the member that the producer fills" in line
    outputs, dead = await ledger.outputs(servers)
    before = ledger.judge(outputs, dead)
    # Not more than the fuse allows, however far reading was ahead of it.
    assert 0 < before.dead_letters <= 200
    assert len(before.lost) > COUNT / 2
    committed = await kafka_tools.committed_offsets(servers, names.group)
    assert sum(committed.values()) == before.outputs + before.dead_letters, "what was published is committed"
    await workers.start(servers, special="free", fuse_share=1, fuse_window_reviews=10 * COUNT, **right(make)).ready()
    after = await ledger.settled(servers)
    after.corrupted.clear()  # the ledger looks for the usual shape; here dead letters and outputs differ by setting
    after.check()
    assert after.dead_letters == before.dead_letters if make is other_member else after.dead_letters == COUNT // 3


async def test_the_fuse_tells_what_deletes_of_a_change_stream_lack_and_where_one_is(
    kafka: Cluster, workers: Workers, ledger: Ledger
) -> None:
    servers, names = kafka.bootstrap_servers, ledger.names
    await kafka_tools.create_topics(servers, names.input)
    await kafka_tools.produce(servers, names.input, map(deleted, range(250)))
    stopped = workers.start(servers, special="free", text_field="payload.after.text")
    assert await stopped.ended() == ExitCode.FUSE
    (line,) = stopped.errors
    assert line == (
        "error: the last 200 events were all dead letters: text_missing 200 times"
        f" (last {names.input}/0/199: 'payload.after' is null, so there is no member 'payload.after.text' (setting"
        " text_field)); because of text_missing: check that text_field names the member that the producer fills, and"
        " whether events without a text, such as the deletes of a change stream, belong on input_topic"
    )


def right(make) -> dict[str, object]:
    """The settings that suit what is produced."""
    return {"text_field": "review"} if make is other_member else {"fuse_run_length": COUNT}
