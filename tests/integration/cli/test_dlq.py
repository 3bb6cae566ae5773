"""Dead letters listed, shown and sent again on a real broker."""

from __future__ import annotations

import asyncio
import random
import time
from dataclasses import replace

import click
import pytest
from conftest import TopicNames
from dead_letters import event, message
from dlq_shell import DlqShell
from kafka_tools import Message, create_topics, created_again, produce
from raw_headers import LATIN_1, raw, raw_names

from worker.devkafka import Cluster
from worker.errors import Reason
from worker.records import Headers
from worker.replay.letters import HOPS_HEADER
from worker.replay.notes import Note, Witness

HEADERS: Headers = (("trace", b"\xff"), ("trace", None), ("source", b"the producer's"))
DAY_MS = 24 * 3600 * 1000


def now_ms() -> int:
    return time.time_ns() // 1_000_000


@pytest.fixture
def shell(kafka: Cluster, topic_names: TopicNames) -> DlqShell:
    return DlqShell(kafka, topic_names)


def letter(
    shell: DlqShell,
    offset: int,
    reason: Reason = Reason.NOT_JSON,
    *,
    topic: str | None = None,
    partition: int = 0,
    value: bytes | None = b"{",
    ago_ms: int = 0,
    hops: int = 0,
) -> Message:
    """A dead letter of the input topic; its key is its offset."""
    source = f"{topic or shell.names.input}/{partition}/{offset}"
    key, timestamp_ms = str(offset).encode(), now_ms() - ago_ms
    record = event(source, key=key, value=value, headers=HEADERS, timestamp_ms=timestamp_ms, hops=hops)
    return message(record, reason, partition=partition)


def keys(records: list) -> list[bytes]:
    return sorted(record.key for record in records)


# --- list and show ----------------------------------------------------------------------------------------------------


def test_each_letter_is_listed_with_its_place_its_reason_and_its_source(shell: DlqShell) -> None:
    shell.put(letter(shell, 5), letter(shell, 6, Reason.TEXT_BLANK, partition=1, value=None, hops=2))
    first, second = shell.lines("list")
    assert first.pop("time").endswith("Z")
    assert first == {
        "position": f"{shell.names.dead_letters}/0/0",
        "reason": "not_json",
        "stage": "decode",
        "message": "wrong: not_json",
        "source": f"{shell.names.input}/0/5",
        "key": "5",
        "value_bytes": 1,
        "hops": 0,
        "failures": 1,
        "replayed": False,
    }
    assert (second["position"], second["value_bytes"], second["hops"]) == (f"{shell.names.dead_letters}/1/0", None, 2)


def test_the_list_is_cut_filtered_and_summed_up_as_asked(shell: DlqShell) -> None:
    hours = 3600 * 1000
    shell.put(
        *(letter(shell, number, ago_ms=3 * hours) for number in range(3)),
        *(letter(shell, number, Reason.TEXT_BLANK, partition=1) for number in range(2)),
        letter(shell, 9, Reason.TEXT_MISSING),
    )
    assert [line["key"] for line in shell.lines("list", "--limit", "2")] == ["0", "1"]
    assert {line["reason"] for line in shell.lines("list", "--since", "2h")} == {"text_blank", "text_missing"}
    chosen = shell.lines("list", "--reason", "not_json", "--reason", "text_missing")
    assert [line["key"] for line in chosen] == ["0", "1", "2", "9"]
    rows = shell.lines("list", "--summary")
    assert [(row["reason"], row["count"], row["share"]) for row in rows] == [
        ("not_json", 3, 0.5),
        ("text_blank", 2, 0.3333),
        ("text_missing", 1, 0.1667),
    ]


def test_the_list_of_an_empty_topic_is_empty(shell: DlqShell) -> None:
    assert shell.lines("list") == shell.lines("list", "--summary") == []


def test_what_was_aborted_is_no_letter_and_a_topic_that_ends_in_transactions_has_an_end(shell: DlqShell) -> None:
    shell.put(letter(shell, 1), transactional_id=f"{shell.names.group}.worker")
    shell.put(letter(shell, 2), transactional_id=f"{shell.names.group}.worker", abort=True)
    assert [line["key"] for line in shell.lines("list")] == ["1"]
    assert shell.replay()["replayed"] == 1
    assert shell.replay()["replayed"] == 0


def test_all_of_one_letter_is_shown(shell: DlqShell) -> None:
    shell.put(letter(shell, 5, value=b"\xff\x00\n"))
    for position in ("0/0", f"{shell.names.dead_letters}/0/0"):
        (shown,) = shell.lines("show", position)
        assert shown["failures"][0]["message"] == "wrong: not_json"
        assert shown["headers"] == [["trace", {"base64": "/w=="}], ["trace", None], ["source", "the producer's"]]
        assert shown["replayed"] == []
    assert shell.run("show", "0/0", "--raw").stdout_bytes == b"\xff\x00\n"
    shell.replay()
    (shown,) = shell.lines("show", "0/0")
    assert [note["to"] for note in shown["replayed"]] == [shell.names.input]


def test_a_letter_with_a_header_whose_name_is_not_utf8_is_listed_shown_and_sent_again(shell: DlqShell) -> None:
    odd = letter(shell, 6)
    with raw_names():
        odd = replace(odd, headers=raw(((LATIN_1, b"v"), *odd.headers)))
        shell.put(letter(shell, 5), odd, letter(shell, 7))
    assert [line["key"] for line in shell.lines("list")] == ["5", "6", "7"]
    (shown,) = shell.lines("show", "0/1")
    assert (shown["headers"][0], shown["failures"][0]["reason"]) == (["caf\\xe9", "v"], "not_json")
    assert "caf\\xe9: v" in shell.on_terminal("show", "0/1")
    assert shell.replay()["replayed"] == 3
    assert [record.key for record in shell.sent()] == [b"5", b"6", b"7"]
    assert shell.sent()[1].headers[0] == ("caf\\xe9", b"v")


def test_a_position_without_a_letter_is_an_error_that_says_where_there_are_some(shell: DlqShell) -> None:
    shell.put(letter(shell, 5), transactional_id=f"{shell.names.group}.worker")
    for position, said in {
        "0/2": "the partition holds offsets 0 to 1",
        "1/0": "the partition holds nothing",
        "2/0": "they are 0 to 1",
        "0/1": "is a gap",
    }.items():
        result = shell.run("show", position)
        assert (result.exit_code, result.stdout) == (2, "")
        assert said in result.stderr


def test_what_a_terminal_shows_is_for_people_and_cannot_steer_it(shell: DlqShell) -> None:
    shell.put(letter(shell, 5, value=b"\x1b[31m\x07steering " * 50), letter(shell, 6, hops=3))
    texts = [
        shell.on_terminal("list"),
        shell.on_terminal("list", "--summary"),
        shell.on_terminal("show", "0/0"),
        shell.on_terminal("replay", "--dry-run"),
        shell.on_terminal("replay"),
    ]
    assert not any("\x07" in text or "\x1b[31m steering" in text for text in texts)
    assert "[31m steering [31m steering" in texts[2]
    texts = [click.unstyle(text).replace("\r\n", "\n") for text in texts]
    header, first, *_ = texts[0].splitlines()
    assert header.split() == ["position", "reason", "stage", "read", "at", "time", "key", "size", "value"]
    assert first.split()[:4] == ["0/0", "not_json", "decode", f"{shell.names.input}/0/5"]
    assert "2 dead letters, 0 of them replayed" in texts[0]
    assert "100.0%" in texts[1]
    assert "wrong: not_json [worker.errors.RecordError]" in texts[2]
    assert f"would replay 1 dead letter to {shell.names.input}: 1 not_json" in texts[3]
    assert texts[4].startswith(f"replayed 1 dead letter to {shell.names.input}: 1 not_json\n")
    assert "left in place: 1 at the limit of hops (--max-hops 3)" in texts[4]


# --- replay ---------------------------------------------------------------------------------------------------------


def test_an_event_is_sent_again_as_it_was_with_its_hops_counted_and_its_letter_stays(shell: DlqShell) -> None:
    shell.put(letter(shell, 5, value=b"\xff\n"), letter(shell, 6, partition=1, value=None, hops=1))
    before = shell.there()
    assert shell.replay() == {
        "replayed": 2,
        "to": shell.names.input,
        "reasons": {"not_json": 2},
        "left": {},
        "dry_run": False,
    }
    first, second = sorted(shell.sent(), key=lambda record: record.key)
    assert (first.partition, first.key, first.value) == (0, b"5", b"\xff\n")
    assert first.headers == (*HEADERS, (HOPS_HEADER, b"1"))
    assert first.timestamp == before[0].timestamp
    assert (second.partition, second.value, second.headers[-1]) == (1, None, (HOPS_HEADER, b"2"))
    assert shell.there() == before
    assert [line["replayed"] for line in shell.lines("list")] == [True, True]


def test_a_second_replay_sends_only_what_has_come_since(shell: DlqShell) -> None:
    shell.put(letter(shell, 1), letter(shell, 2, partition=1))
    assert shell.replay()["replayed"] == 2
    assert shell.replay()["replayed"] == 0
    shell.put(letter(shell, 3))
    assert shell.replay()["replayed"] == 1
    assert keys(shell.sent()) == [b"1", b"2", b"3"]
    assert shell.replay("--again")["replayed"] == 3
    assert keys(shell.sent()) == [b"1", b"1", b"2", b"2", b"3", b"3"]


def test_what_one_filter_leaves_another_finds_and_each_is_sent_once(shell: DlqShell) -> None:
    reasons = [Reason.NOT_JSON, Reason.TEXT_BLANK, Reason.TEXT_MISSING]
    shell.put(
        *(
            letter(shell, number, reasons[number % 3], partition=number % 2, ago_ms=DAY_MS if number < 20 else 0)
            for number in range(60)
        )
    )
    first = shell.replay("--reason", "text_blank")
    assert (first["replayed"], first["left"]) == (20, {"filtered": 40})
    assert shell.replay("--since", "12h")["replayed"] == 27
    assert shell.replay("--reason", "not_json", "--reason", "text_blank")["replayed"] == 7
    assert shell.replay()["replayed"] == 6
    assert keys(shell.sent()) == sorted(str(number).encode() for number in range(60))


def test_the_order_of_a_partition_survives(shell: DlqShell) -> None:
    shell.put(*(letter(shell, number, partition=number % 2) for number in range(1500)))
    assert shell.replay()["replayed"] == 1500
    for partition in (0, 1):
        numbers = [int(record.key) for record in shell.sent() if record.partition == partition]
        assert numbers == list(range(partition, 1500, 2))


def test_a_dry_run_says_what_would_be_sent_where_and_does_nothing(shell: DlqShell) -> None:
    shell.put(letter(shell, 5), letter(shell, 6, partition=1, hops=3))
    chosen, result = shell.lines("replay", "--dry-run")
    assert (chosen["key"], chosen["to"]) == ("5", f"{shell.names.input}/0")
    assert (result["replayed"], result["left"], result["dry_run"]) == (1, {"hops": 1}, True)
    assert shell.sent() == []
    assert [line["replayed"] for line in shell.lines("list")] == [False, False]
    assert shell.replay()["replayed"] == 1


def test_a_topic_with_fewer_partitions_takes_each_event_once_and_a_key_stays_in_one_partition(shell: DlqShell) -> None:
    asyncio.run(create_topics(shell.servers, shell.names.output, partitions=2))
    letters = [letter(shell, number, partition=number % 2) for number in range(40)]
    elsewhere = [letter(shell, 100 + number, topic="reviews.wide", partition=number) for number in range(6)]
    shell.put(*letters, *(replace(each, partition=0) for each in elsewhere))
    assert shell.replay("--to", shell.names.output)["replayed"] == 46
    assert shell.replay("--to", shell.names.output)["replayed"] == 0
    sent = shell.sent(shell.names.output)
    assert keys(sent) == sorted(str(number).encode() for number in (*range(40), *range(100, 106)))
    assert {record.partition for record in sent} == {0, 1}


def test_an_event_at_the_limit_of_hops_is_left_until_the_limit_is_raised(shell: DlqShell) -> None:
    shell.put(letter(shell, 1, hops=3), letter(shell, 2, hops=2))
    result = shell.replay()
    assert (result["replayed"], result["left"]) == (1, {"hops": 1})
    assert shell.replay("--max-hops", "4")["replayed"] == 1
    assert keys(shell.sent()) == [b"1", b"2"]


def test_events_of_another_topic_and_strange_records_are_left(shell: DlqShell) -> None:
    strange = Message(b"v", b"strange", (("trace", b"a"),), partition=0)
    shell.put(strange, letter(shell, 1, topic="reviews.elsewhere"), letter(shell, 2))
    result = shell.replay()
    assert (result["replayed"], result["left"]) == (1, {"foreign": 1, "elsewhere": 1})
    assert shell.replay("--to", shell.names.input)["replayed"] == 1
    assert keys(shell.sent()) == [b"1", b"2"]


def test_what_was_sent_to_one_topic_has_not_been_sent_to_another(shell: DlqShell) -> None:
    asyncio.run(create_topics(shell.servers, shell.names.output))
    shell.put(letter(shell, 1), letter(shell, 2, partition=1))
    assert shell.replay("--to", shell.names.output)["replayed"] == 2
    assert [line["replayed"] for line in shell.lines("list")] == [False, False]
    assert shell.replay()["replayed"] == 2
    assert shell.replay("--to", shell.names.output)["replayed"] == 0
    assert keys(shell.sent()) == keys(shell.sent(shell.names.output)) == [b"1", b"2"]


def test_an_event_that_its_topic_would_soon_delete_is_left_unless_it_gets_a_new_time(
    kafka: Cluster, topic_names: TopicNames
) -> None:
    shell = DlqShell(kafka, topic_names, input_config={"retention.ms": str(2 * DAY_MS)})
    shell.put(letter(shell, 1, ago_ms=3 * DAY_MS), letter(shell, 2))
    assert shell.replay()["left"] == {"too_old": 1}
    began_ms = now_ms()
    assert shell.replay("--new-time")["replayed"] == 1
    (old,) = (record for record in shell.sent() if record.key == b"1")
    assert began_ms <= old.timestamp <= now_ms()


def test_an_event_gets_its_own_time_back_where_its_topic_takes_it(kafka: Cluster, topic_names: TopicNames) -> None:
    shell = DlqShell(kafka, topic_names, input_config={"message.timestamp.before.max.ms": str(2 * DAY_MS)})
    old, older = (letter(shell, number, Reason.TIMESTAMP_REFUSED, ago_ms=number * DAY_MS) for number in (1, 3))
    shell.put(old, older)
    own_times = [int(dict(each.headers)["reviews_worker.errors.timestamp"] or b"") for each in (old, older)]
    result = shell.replay()
    assert (result["replayed"], result["left"]) == (1, {"time_refused": 1})
    (sent,) = shell.sent()
    assert (sent.key, sent.timestamp, sent.headers[:-1]) == (b"1", own_times[0], HEADERS)
    began_ms = now_ms()
    assert shell.replay("--new-time")["replayed"] == 1
    (anew,) = (record for record in shell.sent() if record.key == b"3")
    assert began_ms <= anew.timestamp <= now_ms()


def test_an_event_that_its_topic_does_not_take_is_left_and_does_not_stop_the_others(
    kafka: Cluster, topic_names: TopicNames
) -> None:
    shell = DlqShell(kafka, topic_names, input_config={"max.message.bytes": "3000"})
    noise = random.Random(1).randbytes(5000)
    shell.put(letter(shell, 1), letter(shell, 2, value=noise), letter(shell, 3, value=b"a" * 5000), letter(shell, 4))
    result = shell.replay()
    assert (result["replayed"], result["left"]) == (3, {"too_large": 1})
    assert keys(shell.sent()) == [b"1", b"3", b"4"]


# --- what cannot be ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("arguments", [["list"], ["show", "0/0"], ["replay"], ["replay", "--dry-run"]])
def test_without_a_dead_letter_topic_the_error_names_it_and_says_how_to_make_it(
    kafka: Cluster, topic_names: TopicNames, shell: DlqShell, arguments: list[str]
) -> None:
    missing = f"{topic_names.dead_letters}.missing"
    result = shell.run(*arguments, "--dead-letter-topic", missing)
    assert (result.exit_code, result.stdout) == (4, "")
    assert result.stderr.startswith(f"error: topic {missing} not found")
    assert "kafka-topics.sh --create" in result.stderr


def test_a_target_that_is_not_there_is_an_error(shell: DlqShell) -> None:
    result = shell.run("replay", "--to", "reviews.nowhere")
    assert result.exit_code == 4
    assert "topic reviews.nowhere, where the dead letters would go, not found" in result.stderr


def test_where_no_topic_may_be_created_the_error_says_how_to_make_the_one_for_the_notes(shell: DlqShell) -> None:
    shell.put(letter(shell, 1))
    result = shell.run("replay", "--no-create-topics")
    assert result.exit_code == 4
    assert f"kafka-topics.sh --create --topic {shell.notes} --partitions 1" in result.stderr
    assert shell.sent() == []


@pytest.mark.parametrize("config", [{"retention.ms": "1000000"}, {"cleanup.policy": "compact"}])
def test_notes_that_would_be_forgotten_are_refused(shell: DlqShell, config: dict[str, str]) -> None:
    asyncio.run(create_topics(shell.servers, shell.notes, config={"retention.ms": "-1", **config}))
    shell.put(letter(shell, 1))
    result = shell.run("replay")
    assert result.exit_code == 4
    assert f"{shell.notes} does not keep every record" in result.stderr
    assert shell.sent() == []


@pytest.mark.parametrize("offset", [0, 7])
def test_notes_on_a_topic_that_was_deleted_and_created_again_are_refused(shell: DlqShell, offset: int) -> None:
    note = Note(0, ((0, offset),), shell.names.input, "", Witness(offset, "reviews.in/0/99", 5))
    asyncio.run(create_topics(shell.servers, shell.notes, config={"retention.ms": "-1"}))
    asyncio.run(produce(shell.servers, shell.notes, [note.to_bytes()]))
    shell.put(letter(shell, 1))
    for command in ("list", "replay"):
        result = shell.run(command)
        assert (result.exit_code, result.stdout) == (4, "")
        assert f"{shell.names.dead_letters}/0/{offset} was replayed, but that is not the letter there" in result.stderr
    assert shell.sent() == []


def test_notes_of_a_replay_do_not_count_in_a_dead_letter_topic_that_was_created_again(shell: DlqShell) -> None:
    """Even where there is no letter in the place of the last one any more, nor before it."""
    shell.put(*(letter(shell, number) for number in range(3)))
    assert shell.replay()["replayed"] == 3
    asyncio.run(created_again(shell.servers, shell.names.dead_letters, partitions=2))
    shell.put(*(letter(shell, 10 + number) for number in range(6)))
    assert [line["replayed"] for line in shell.lines("list")] == [False] * 6
    (shown,) = shell.lines("show", f"{shell.names.dead_letters}/0/0")
    assert shown["replayed"] == []
    assert shell.replay()["replayed"] == 6
    assert shell.replay()["replayed"] == 0
    (shown,) = shell.lines("show", f"{shell.names.dead_letters}/0/0")
    assert [note["to"] for note in shown["replayed"]] == [shell.names.input]


def test_a_record_that_is_no_note_is_named(shell: DlqShell) -> None:
    asyncio.run(create_topics(shell.servers, shell.notes, config={"retention.ms": "-1"}))
    asyncio.run(produce(shell.servers, shell.notes, [b"hello"]))
    result = shell.run("replay")
    assert result.exit_code == 4
    assert f"{shell.notes}/0/0 is no note of a replay" in result.stderr
