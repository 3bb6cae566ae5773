"""Which topic, which partition, which bytes."""

from __future__ import annotations

import json

import pytest
from aiokafka.partitioner import DefaultPartitioner
from fakes.broker import batch_bytes

from worker.clock import FakeClock
from worker.delivery.outputs import Destination, OutputWriter, Partitioner, record_bytes
from worker.errors import Reason, RecordError, Stage
from worker.events.codec import EventCodec, ResultWriter
from worker.records import TOMBSTONE, Entry, Headers, OutputRecord, Prediction, Record, TopicPartition

PREDICTION = Prediction((0.25, 0.75), 4, truncated=True)
ERROR = RecordError(Reason.NOT_JSON, Stage.DECODE, "not JSON")


def writer(max_record_bytes: int = 100_000, input_partitions: int = 6, *, keys_only: bool = False) -> OutputWriter:
    return OutputWriter(
        codec=EventCodec("text", "sentiment", 1_000_000),
        results=ResultWriter(("neg", "pos"), "fake@1"),
        partitioner=Partitioner(input_partitions),
        output=Destination("out", 6, max_record_bytes, keys_only),
        dead_letters=Destination("dead", 6, 1_000_000),
        clock=FakeClock(wall=1_700_000_000.5),
    )


def record(key: bytes | None = b"key", value: bytes | None = b'{"text": "good"}', headers: Headers = ()) -> Record:
    return Record(TopicPartition("in", 3), 12, 1234, key, value, headers, 1)


def entry(outcome, *, has_result: bool = False, **changes) -> Entry:
    return Entry(record(**changes), None, has_result, 0.0, 0.0, outcome)


def test_a_prediction_is_spliced_into_the_event() -> None:
    (output,) = writer().write([entry(PREDICTION, headers=(("a", b"1"), ("a", None)))])
    assert (output.topic, output.partition, output.key, output.timestamp_ms) == ("out", 3, b"key", 1234)
    assert output.headers == (("a", b"1"), ("a", None), ("source", b"in/3/12"))
    assert json.loads(output.value or b"") == {
        "text": "good",
        "sentiment": {
            "label": "pos",
            "score": 0.75,
            "scores": {"neg": 0.25, "pos": 0.75},
            "model": "fake@1",
            "tokens": 4,
            "truncated": True,
            "unknown": 0.0,
            "classified_at": "2023-11-14T22:13:20.500Z",
        },
    }


def test_a_result_that_was_there_is_replaced() -> None:
    value = b'{"sentiment": {"label": "neg"}, "text": "good"}'
    (output,) = writer().write([entry(PREDICTION, value=value, has_result=True)])
    assert (output.value or b"").count(b"sentiment") == 1
    assert json.loads(output.value or b"")["sentiment"]["label"] == "pos"


def test_a_tombstone_stays_a_tombstone() -> None:
    (output,) = writer().write([entry(TOMBSTONE, value=None)])
    assert (output.topic, output.value, output.headers) == ("out", None, (("source", b"in/3/12"),))


def test_an_error_makes_a_dead_letter() -> None:
    outputs = writer()
    (letter,) = outputs.write([entry(ERROR)])
    assert (letter.topic, letter.partition, letter.value) == ("dead", 3, b'{"text": "good"}')
    assert outputs.is_dead_letter(letter)
    assert not outputs.is_dead_letter(outputs.write([entry(PREDICTION)])[0])


@pytest.mark.parametrize(
    "changes",
    [
        {"value": b'{"text": "%s"}' % (b"x" * 30_000)},
        {"key": b"k" * 30_000},
        {"headers": (("h", b"x" * 30_000),)},
        {"headers": (("h" * 30_000, None),)},
        {"headers": tuple(("h", b"") for _ in range(5_000))},
    ],
    ids=["value", "key", "header value", "header name", "many headers"],
)
def test_an_output_that_is_too_large_becomes_a_dead_letter_whatever_makes_it_large(changes) -> None:
    large = entry(PREDICTION, **changes)
    (letter,) = writer(30_000).write([large])
    assert letter.topic == "dead"
    assert isinstance(large.outcome, RecordError)
    assert (large.outcome.reason, large.outcome.stage) == (Reason.OUTPUT_TOO_LARGE, Stage.PUBLISH)
    assert "30000, the limit of out" in str(large.outcome)


def test_without_a_key_nothing_is_sent_to_a_topic_that_is_compacted() -> None:
    entries = [entry(PREDICTION, key=None), entry(TOMBSTONE, key=None, value=None), entry(ERROR, key=None)]
    letters = writer(keys_only=True).write(entries)
    assert {letter.topic for letter in letters} == {"dead"}
    reasons = [each.outcome.reason for each in entries if isinstance(each.outcome, RecordError)]
    assert reasons == [Reason.OUTPUT_REFUSED, Reason.OUTPUT_REFUSED, Reason.NOT_JSON]
    message = "it has no key, and a compacted topic (cleanup.policy) takes none without"
    assert str(entries[0].outcome) == f"out does not take the classified event: {message}"
    assert writer(keys_only=True).write([entry(PREDICTION)])[0].topic == "out"


def test_what_the_broker_refuses_without_a_key_teaches_that_the_topic_is_compacted() -> None:
    outputs = writer()
    keyless = outputs.write([entry(PREDICTION, key=None)])[0]
    assert (keyless.topic, outputs.refusal(keyless)) == ("out", None)
    with_key = outputs.write([entry(PREDICTION)])[0]
    outputs.learn(with_key, Reason.OUTPUT_REFUSED)  # which teaches nothing
    assert outputs.refusal(keyless) is None
    outputs.learn(keyless, Reason.OUTPUT_REFUSED)
    assert outputs.refusal(keyless) is Reason.OUTPUT_REFUSED
    assert outputs.refusal(outputs.refuse_as_invalid(entry(PREDICTION, key=None))) is None
    assert outputs.write([entry(PREDICTION, key=None)])[0].topic == "dead"


@pytest.mark.parametrize("size", range(9_400, 10_001, 50))
def test_no_output_is_sent_that_does_not_fit(size: int) -> None:
    (output,) = writer(10_000).write([entry(PREDICTION, value=b'{"text": "%s"}' % (b"x" * size))])
    assert output.topic == "dead" or batch_bytes([output]) <= 10_000


@pytest.mark.parametrize("headers", [(), (("a", None),), (("é" * 100, b"x" * 100),) * 20])
def test_the_size_of_a_record_is_never_too_low(headers: Headers) -> None:
    output = OutputRecord("out", 0, b"k" * 100, b"v" * 1000, headers, 0)
    assert record_bytes(output) >= batch_bytes([output])


def test_as_many_partitions_as_the_input_keep_the_producers_choice() -> None:
    destination = Destination("out", 6, 1)
    assert Partitioner(6).partition(record(b"any key"), destination) == 3
    assert Partitioner(6).partition(record(None), destination) == 3


def test_another_number_of_partitions_is_chosen_by_key_as_kafka_does() -> None:
    destination = Destination("out", 5, 1)
    for number in range(200):
        key = f"key {number}".encode()
        expected = DefaultPartitioner()(key, list(range(5)), list(range(5)))
        assert Partitioner(6).partition(record(key), destination) == expected


def test_without_a_key_the_inputs_partition_decides() -> None:
    assert Partitioner(6).partition(record(None), Destination("out", 2, 1)) == 1
