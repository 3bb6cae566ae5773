"""The installed console script with the bundled model, from Kafka to Kafka: the contract, on real records.

One worker classifies one set of events; each test looks at another side of what came out.
"""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import Iterator
from dataclasses import dataclass

import kafka_tools
import pytest
from aiokafka import ConsumerRecord
from audit import source_of_dead_letter, source_of_output
from conftest import TopicNames
from jsonschema import Draft202012Validator
from kafka_tools import Message
from ledger import Ledger
from worker_process import CONSOLE_SCRIPT, REPOSITORY, WorkerProcess, workers_for

from worker.devkafka import Cluster

PARTITIONS = 3
MAX_EVENT_BYTES = 20_000
MAX_OUTPUT_BYTES = 5_000

CLEAR = {
    "A wonderful film, moving and funny, with excellent acting. I loved every minute of it.": "pos",
    "One of the best movies I have ever seen, a beautiful and touching masterpiece.": "pos",
    "Great story, superb cast, perfect ending. Highly recommended!": "pos",
    "An awful, boring waste of time. The worst film of the year, terrible acting and a stupid plot.": "neg",
    "Terrible. Badly written, badly acted and dull; I want my money back.": "neg",
    "This is the worst movie ever made, poor, pointless and annoying.": "neg",
}

DEAD = {
    "not_utf8": b'{"text": "caf\xe9"}',
    "not_json": b'{"text": "cut off',
    "not_object": b'["text"]',
    "text_missing": b'{"review": "in another member"}',
    "text_not_string": b'{"text": 5}',
    "text_blank": b'{"text": " \\n "}',
    "event_too_large": b'{"text": "%s"}' % (b"long " * (MAX_EVENT_BYTES // 5)),
    "output_too_large": b'{"text": "%s"}' % (b"long " * (MAX_OUTPUT_BYTES // 5)),
}

UNUSUAL = (
    b'{"text":"large and exact","n":123456789012345678901234567890,"f":1.10,"e":1E400,"n":1}',
    b'  {\n "text" : "spaced \\u00e9" , "nested" : {"sentiment": 1, "b": [1, {"c": "}"}]}\n}  ',
    '{"text":"日本語 \U0001f600 ñ","text2":"\\ud83d"}'.encode(),
    b'{"review_id":"r-1","text":"one <br /><br /> two"}',
)


@dataclass(frozen=True)
class Outcome:
    """What went in and what came out."""

    ledger: Ledger
    sources: dict[str, str]
    """Source of each named event."""
    outputs: list[ConsumerRecord]
    dead_letters: list[ConsumerRecord]
    metrics: dict[str, float]
    worker: WorkerProcess
    committed: dict[object, int]
    ends: dict[object, int]

    def output(self, name: str) -> ConsumerRecord:
        (found,) = (record for record in self.outputs if source_of_output(record) == self.sources[name])
        return found


@pytest.fixture(scope="module")
def outcome(kafka: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Outcome]:
    unique = uuid.uuid4().hex[:12]
    names = TopicNames(f"e2e.{unique}.in", f"e2e.{unique}.out", f"e2e.{unique}.dlq", f"e2e.{unique}")
    folder = tmp_path_factory.mktemp("end_to_end")
    assert CONSOLE_SCRIPT.is_file(), f"{CONSOLE_SCRIPT} is missing: install the package with its console script"
    with workers_for(names, folder) as workers:
        worker = workers.start(
            kafka.bootstrap_servers,
            topic_partitions=PARTITIONS,
            max_event_bytes=MAX_EVENT_BYTES,
            max_output_bytes=MAX_OUTPUT_BYTES,
        )
        yield asyncio.run(_classified(kafka.bootstrap_servers, names, worker))


async def _classified(servers: str, names: TopicNames, worker: WorkerProcess) -> Outcome:
    await worker.ready()
    ledger = Ledger(names)
    named: dict[str, Message] = {}
    for number, text in enumerate(CLEAR):
        headers = [("trace", b"%d" % number), ("trace", b"again"), ("empty", b""), ("null", None), ("source", b"mine")]
        value = json.dumps({"review_id": number, "text": text}).encode()
        named[text] = Message(value, b"key-%d" % number, headers, 1_700_000_000_000 + number)
    for reason, value in DEAD.items():
        named[reason] = Message(value, b"dead", [("trace", reason.encode())], 1_700_000_001_000)
    named["tombstone"] = Message(None, b"gone", [("why", b"erased")], 1_700_000_002_000)
    named["tombstone with an empty key"] = Message(None, b"")
    for number, value in enumerate(UNUSUAL):
        named[f"unusual {number}"] = Message(value, partition=number % PARTITIONS)
    named["classified before"] = Message(b'{"sentiment":{"label":"old"},"text":"good","sentiment":2,"a":1}')
    named["empty"] = Message(b"", b"dead")
    sources = dict(zip(named, await ledger.produce(servers, named.values()), strict=True))
    short = [Message(b'{"review_id":%d,"text":"fine"}' % number, b"k%d" % (number % 20)) for number in range(600)]
    await ledger.produce(servers, short)
    await ledger.settled(servers)
    outputs, dead_letters = await ledger.outputs(servers)
    metrics = await worker.metrics()
    assert await worker.stopped() == 0
    return Outcome(
        ledger=ledger,
        sources=sources,
        outputs=outputs,
        dead_letters=dead_letters,
        metrics=metrics,
        worker=worker,
        committed=await kafka_tools.committed_offsets(servers, names.group),
        ends=await kafka_tools.end_offsets(servers, names.input),
    )


def _schema(name: str) -> Draft202012Validator:
    schema = json.loads((REPOSITORY / "schemas" / f"{name}.schema.json").read_text())
    return Draft202012Validator(schema, format_checker=Draft202012Validator.FORMAT_CHECKER)


def test_every_event_comes_out_once_in_order_and_otherwise_unchanged(outcome: Outcome) -> None:
    replaced = outcome.sources["classified before"]
    verdict = outcome.ledger.judge(outcome.outputs, outcome.dead_letters)
    assert verdict.corrupted == [replaced]  # the only one whose member is replaced, not added
    verdict.corrupted.clear()
    verdict.check()


def test_a_partition_of_the_input_is_that_partition_of_the_outputs(outcome: Outcome) -> None:
    for record in outcome.outputs:
        assert source_of_output(record).split("/")[1] == str(record.partition)
    for record in outcome.dead_letters:
        assert source_of_dead_letter(record).split("/")[1] == str(record.partition)


def test_clear_reviews_get_the_label_that_a_person_would_give(outcome: Outcome) -> None:
    labels = {text: json.loads(outcome.output(text).value)["sentiment"]["label"] for text in CLEAR}
    assert labels == CLEAR


def test_key_headers_and_timestamp_are_carried_over(outcome: Outcome) -> None:
    for number, text in enumerate(CLEAR):
        record = outcome.output(text)
        assert record.key == b"key-%d" % number
        assert record.timestamp == 1_700_000_000_000 + number
        assert record.headers[:-1] == (
            ("trace", b"%d" % number),
            ("trace", b"again"),
            ("empty", b""),
            ("null", None),
            ("source", b"mine"),
        )
        assert record.headers[-1] == ("source", outcome.sources[text].encode())


def test_the_outputs_keep_the_published_schema(outcome: Outcome) -> None:
    schema = _schema("classified-review")
    for record in outcome.outputs:
        if record.value is not None:
            schema.validate(json.loads(record.value))


def test_the_result_says_which_model_and_when(outcome: Outcome) -> None:
    manifest = json.loads(next((REPOSITORY / "worker" / "models").glob("*/manifest.json")).read_text())
    result = json.loads(outcome.output("unusual 3").value)["sentiment"]
    assert result["model"] == f"{manifest['name']}@{manifest['version']}"
    assert result["score"] == max(result["scores"].values())
    assert sum(result["scores"].values()) == pytest.approx(1, abs=2e-6)
    assert result["truncated"] is False


def test_a_result_that_was_there_is_replaced(outcome: Outcome) -> None:
    value = outcome.output("classified before").value
    assert value.startswith(b'{"sentiment":{"label":"')
    assert value.endswith(b'},"text":"good","a":1}')
    assert value.count(b'"sentiment"') == 1


def test_tombstones_pass_through_as_tombstones(outcome: Outcome) -> None:
    tombstone = outcome.output("tombstone")
    assert (tombstone.key, tombstone.value, tombstone.timestamp) == (b"gone", None, 1_700_000_002_000)
    empty = outcome.output("tombstone with an empty key")
    assert (empty.key, empty.value) == (b"", None)
    assert outcome.metrics["tombstones_total"] == 2


@pytest.mark.parametrize("reason", DEAD)
def test_a_dead_letter_says_why_and_keeps_the_event(outcome: Outcome, reason: str) -> None:
    (letter,) = (each for each in outcome.dead_letters if source_of_dead_letter(each) == outcome.sources[reason])
    headers = {name: value.decode() for name, value in letter.headers}
    assert headers["reviews_worker.errors.reason"] == reason
    assert headers["trace"] == reason
    assert (letter.key, letter.value, letter.timestamp) == (b"dead", DEAD[reason], 1_700_000_001_000)
    _schema("dead-letter").validate(headers)
    assert outcome.metrics[f"dead_letters_total{{reason={reason}}}"] >= 1


def test_no_dead_letter_quotes_a_review(outcome: Outcome) -> None:
    for letter in outcome.dead_letters:
        added = b" ".join(value for name, value in letter.headers if "errors" in name)
        assert b"long long" not in added
        assert b"caf" not in added


def test_everything_is_committed_to_the_end_at_the_stop(outcome: Outcome) -> None:
    assert outcome.committed == {partition: end for partition, end in outcome.ends.items() if end}


def test_the_metrics_count_what_happened(outcome: Outcome) -> None:
    metrics, produced = outcome.metrics, len(outcome.ledger.produced)
    dead = sum(value for name, value in metrics.items() if name.startswith("dead_letters_total"))
    assert metrics["events_in_total"] == produced
    assert metrics["events_out_total"] + metrics["tombstones_total"] == len(outcome.outputs)
    assert dead == len(outcome.dead_letters)
    assert (
        metrics["events_out_total"]
        == sum(value for name, value in metrics.items() if name.startswith("predictions_total")) - 1
    )  # the output that was too large had its prediction
    for name in ("worker_seconds", "end_to_end_seconds"):
        assert metrics[f"{name}_count"] == metrics[f"{name}_bucket{{le=+Inf}}"] == produced
    assert metrics["assigned_partitions"] == PARTITIONS
    assert metrics["in_flight_reviews"] == 0
    assert metrics["broker_up"] == 1


def test_the_log_is_quiet_and_quotes_no_review(outcome: Outcome) -> None:
    lines = [line for line in outcome.worker.log if line.message != "dead letters"]
    unexpected = [line for line in lines if line.level not in ("INFO", "TEXT")]
    assert not [line for line in unexpected if not line.logger.startswith("aiokafka")], unexpected
    assert len(lines) < 30
    assert not [text for text in CLEAR if text in outcome.worker.output]
    assert outcome.worker.errors == []
