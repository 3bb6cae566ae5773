"""What comes out for what goes in."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest
from contract.reviews import check_prediction, numbers, review, reviews, without_result
from contract.world import World, by_partition
from fakes import FakeSession
from jsonschema import Draft202012Validator
from kafka_tools import Message

from worker.errors import DeliveryError, ExitCode
from worker.events.schemas import load_schema
from worker.records import Encoding
from worker.tokenization.overflow import Overflow

LONG_TEXT = "x" * 3000


async def test_every_review_comes_out_once_in_input_order_with_its_own_prediction(world: World) -> None:
    await world.create_topics(partitions=3)
    await world.produce(reviews(300, partitions=3))
    worker = world.worker()
    outputs = await world.outputs(300)
    assert await worker.stop() is ExitCode.OK
    outputs = await world.outputs()
    assert len(outputs) == 300
    for partition, of_partition in by_partition(outputs).items():
        assert numbers(of_partition) == list(range(partition, 300, 3))
        assert [output.source for output in of_partition] == [(partition, offset) for offset in range(100)]
    for output in outputs:
        check_prediction(output, worker.session, world.tokenizer)
    assert await world.dead_letters() == []
    assert await world.check_commits() == {0: 100, 1: 100, 2: 100} == await world.ends()


async def test_key_headers_and_timestamp_are_carried_over_and_the_source_is_added(world: World) -> None:
    await world.create_topics()
    message = review(1, stars=4)
    await world.produce([message, Message(b'{"text": "no key, no headers"}', timestamp_ms=12)])
    world.worker()
    first, second = await world.outputs(2)
    source = f"{world.settings.input_topic}/0/"
    assert (first.key, first.timestamp_ms) == (message.key, message.timestamp_ms)
    assert first.headers == (*message.headers, ("source", f"{source}0".encode()))
    assert without_result(first.value) == json.loads(message.value or b"")
    assert (second.key, second.timestamp_ms, second.headers) == (None, 12, (("source", f"{source}1".encode()),))


async def test_a_tombstone_passes_through_in_its_place(world: World) -> None:
    await world.create_topics()
    tombstone = Message(None, key=b"gone", headers=[("trace", b"t")], timestamp_ms=77)
    await world.produce([review(0), tombstone, review(1), tombstone])
    worker = world.worker()
    outputs = await world.outputs(4)
    assert [output.value is None for output in outputs] == [False, True, False, True]
    assert (outputs[1].key, outputs[1].timestamp_ms, outputs[1].headers[0]) == (b"gone", 77, ("trace", b"t"))
    assert outputs[1].source == (0, 1)
    assert await worker.stop() is ExitCode.OK
    assert worker.metric("tombstones_total") == 2
    assert await world.check_commits() == {0: 4}


BAD_EVENTS = {
    "not_utf8": b'{"text": "\xff\xfe"}',
    "not_json": b"text",
    "not_object": b'["text"]',
    "text_missing": b'{"body": "good"}',
    "text_not_string": b'{"text": 5}',
    "text_blank": '{"text": " \u200b\\t"}'.encode(),
    "event_too_large": json.dumps({"text": LONG_TEXT * 4}).encode(),
    "output_too_large": json.dumps({"text": LONG_TEXT}).encode(),
    "inference_failed": b'{"text": "poison"}',
}


@pytest.fixture
def poisoned(tokenizer) -> FakeSession:
    session = FakeSession()
    session.poison([tokenizer.encode("poison")])
    return session


async def test_each_reason_for_a_dead_letter(world: World, poisoned: FakeSession) -> None:
    await world.create_topics()
    bad = [
        Message(value, key=reason.encode(), headers=[("trace", b"1")], timestamp_ms=index + 1)
        for index, (reason, value) in enumerate(BAD_EVENTS.items())
    ]
    neighbours = reviews(len(bad))
    await world.produce([message for pair in zip(neighbours, bad, strict=True) for message in pair])
    worker = world.worker(poisoned, max_event_bytes=10_000, max_output_bytes=3_000)
    letters = await world.dead_letters(len(bad))
    assert numbers(await world.outputs(len(bad))) == list(range(len(bad)))
    assert await worker.stop() is ExitCode.OK
    letters = await world.dead_letters()
    assert [letter.header("reviews_worker.errors.reason") for letter in letters] == list(BAD_EVENTS)
    for index, (letter, message) in enumerate(zip(letters, bad, strict=True)):
        assert (letter.key, letter.value, letter.timestamp_ms) == (message.key, message.value, message.timestamp_ms)
        assert letter.headers[0] == ("trace", b"1")
        assert letter.source == (0, 2 * index + 1)
        assert letter.header("__streams.errors.topic") == world.settings.input_topic
    for reason in BAD_EVENTS:
        assert worker.metric("dead_letters_total", reason=reason) == 1
    assert await world.check_commits() == {0: 2 * len(bad)}


async def test_an_output_beyond_the_topics_limit_becomes_a_dead_letter_and_its_neighbours_are_published(
    world: World,
) -> None:
    await world.create_topics(output=3_000)
    await world.produce([*reviews(10), Message(BAD_EVENTS["output_too_large"]), *reviews(10, first=10)])
    worker = world.worker()
    (letter,) = await world.dead_letters(1)
    assert numbers(await world.outputs(20)) == list(range(20))
    assert letter.header("reviews_worker.errors.reason") == "output_too_large"
    assert await worker.stop() is ExitCode.OK
    assert await world.check_commits() == {0: 21}


async def test_what_the_broker_refuses_for_its_size_becomes_a_dead_letter_alone(world: World) -> None:
    await world.create_topics()
    session = FakeSession()
    session.hold()
    large = [Message(BAD_EVENTS["output_too_large"], timestamp_ms=number + 1) for number in range(2)]
    await world.produce([*reviews(10), large[0], *reviews(10, first=10), large[1], *reviews(5, first=20)])
    worker = world.worker(session)
    await worker.until_computing()
    await world.limit_output(2_500)
    session.release()
    letters = await world.dead_letters(2)
    assert numbers(await world.outputs(25)) == list(range(25))
    assert [letter.source for letter in letters] == [(0, 10), (0, 21)]
    assert {letter.header("reviews_worker.errors.reason") for letter in letters} == {"output_too_large"}
    assert [letter.value for letter in letters] == [message.value for message in large]
    assert await worker.stop() is ExitCode.OK
    assert await world.check_commits() == {0: 27}


@pytest.mark.parametrize("known", [True, False], ids=["known at the start", "compacted later"])
async def test_an_event_without_a_key_becomes_a_dead_letter_where_the_output_topic_is_compacted(
    world: World, known: bool
) -> None:
    await world.create_topics()
    if known:
        await world.compact(world.settings.output_topic)
    session = FakeSession()
    session.hold()
    keyless = [Message(b'{"text": "no key"}', timestamp_ms=number + 1) for number in range(3)]
    await world.produce([*reviews(10), keyless[0], *reviews(10, first=10), keyless[1], *reviews(5, first=20)])
    worker = world.worker(session)
    await worker.until_computing()
    if not known:
        await world.compact(world.settings.output_topic)
    session.release()
    await world.dead_letters(2)
    assert numbers(await world.outputs(25)) == list(range(25))
    await world.produce([keyless[2], Message(b'{"text": ', timestamp_ms=4), *reviews(1, first=25)])
    letters = await world.dead_letters(4)
    assert numbers(await world.outputs(26)) == list(range(26))
    assert [letter.source for letter in letters] == [(0, 10), (0, 21), (0, 27), (0, 28)]
    reasons = [letter.header("reviews_worker.errors.reason") for letter in letters]
    assert reasons == ["output_refused", "output_refused", "output_refused", "not_json"]
    assert "no key" in letters[0].header("__streams.errors.message")
    assert await worker.stop() is ExitCode.OK
    assert await world.check_commits() == {0: 30}


async def test_a_dead_letter_without_a_key_that_a_compacted_topic_does_not_take_stops_the_worker(world: World) -> None:
    await world.create_topics()
    await world.compact(world.settings.dead_letter_topic)
    await world.produce([*reviews(3), Message(b"text")])
    worker = world.worker()
    with pytest.raises(DeliveryError, match=rf"{world.settings.dead_letter_topic} does not take .*/0/3: it has no key"):
        await worker.ended()
    assert await world.dead_letters() == []


async def test_a_poison_review_goes_to_the_dead_letters_alone(world: World, poisoned: FakeSession) -> None:
    await world.create_topics()
    await world.produce([*reviews(30), Message(BAD_EVENTS["inference_failed"], b"p"), *reviews(30, first=30)])
    worker = world.worker(poisoned)
    outputs = await world.outputs(60)
    assert numbers(outputs) == list(range(60))
    for output in outputs:
        check_prediction(output, poisoned, world.tokenizer)
    (letter,) = await world.dead_letters(1)
    assert (letter.source, letter.header("reviews_worker.errors.stage")) == ((0, 30), "infer")
    assert await worker.stop() is ExitCode.OK
    assert await world.check_commits() == {0: 61}


async def test_out_of_memory_makes_batches_smaller_and_nothing_is_lost(world: World) -> None:
    await world.create_topics()
    session = FakeSession(max_tokens=150)
    await world.produce(reviews(60))
    worker = world.worker(session)
    assert numbers(await world.outputs(60)) == list(range(60))
    assert await worker.stop() is ExitCode.OK
    assert worker.metric("inference_failures_total", kind="out_of_memory") >= 1
    assert await world.dead_letters() == []


LONG_REVIEWS = {2: 200, 5: 400, 6: 500, 11: 2000}
"""Reviews that get so many times three words more: two windows, three, four, and more than these."""


def with_long_ones(messages: list[Message]) -> list[Message]:
    for number, times in LONG_REVIEWS.items():
        if number < len(messages):
            event = json.loads(messages[number].value or b"")
            event["text"] += " good bad dull" * times
            messages[number] = dataclasses.replace(messages[number], value=json.dumps(event).encode())
    return messages


async def test_long_reviews_are_read_in_windows_and_leave_in_their_order(world: World) -> None:
    await world.create_topics()
    await world.produce(with_long_ones(reviews(30)))
    reading = Overflow("windows", window_overlap_tokens=32, max_windows=4)
    worker = world.worker(overflow="windows", window_overlap_tokens=32, max_windows=4)
    outputs = await world.outputs(30)
    assert await worker.stop() is ExitCode.OK
    assert numbers(await world.outputs()) == list(range(30))
    tokenizer = world.tokenizer.with_overflow(reading)
    windows = {}
    for output in outputs:
        check_prediction(output, worker.session, tokenizer)
        event = json.loads(output.value or b"")
        Draft202012Validator(load_schema("classified-review")).validate(event)
        windows[event["review_id"]] = event["sentiment"]["windows"]
        assert event["sentiment"]["truncated"] is (event["review_id"] == 11)
    assert {number: count for number, count in windows.items() if count > 1} == {2: 2, 5: 3, 6: 4, 11: 4}
    assert worker.metric("overflows_total", policy="windows") == len(LONG_REVIEWS)
    assert worker.metric("windows_total") == sum(count for count in windows.values() if count > 1)
    assert worker.metric("predictions_total", label="neg") + worker.metric("predictions_total", label="pos") == 30
    assert await world.check_commits() == {0: 30}


async def test_a_long_review_of_which_one_window_fails_is_one_dead_letter(world: World) -> None:
    await world.create_topics()
    messages = with_long_ones(reviews(10))
    await world.produce(messages)
    reading = Overflow("windows", window_overlap_tokens=32, max_windows=4)
    text = json.loads(messages[5].value or b"")["text"]
    session = FakeSession()
    encoding = world.tokenizer.with_overflow(reading).encode(text)
    session.poison([Encoding(encoding.windows[0], truncated=False)])
    worker = world.worker(session, overflow="windows", window_overlap_tokens=32, max_windows=4)
    outputs = await world.outputs(9)
    (letter,) = await world.dead_letters(1)
    assert letter.source == (0, 5)
    assert letter.header("reviews_worker.errors.reason") == "inference_failed"
    assert numbers(outputs) == [0, 1, 2, 3, 4, 6, 7, 8, 9]
    assert await worker.stop() is ExitCode.OK
    assert len(await world.dead_letters()) == 1
    assert await world.check_commits() == {0: 10}


@pytest.mark.parametrize("policy", ["truncate", "head_tail"])
async def test_a_long_review_that_is_read_in_part_says_so(world: World, policy: Any) -> None:
    await world.create_topics()
    await world.produce(with_long_ones(reviews(4)))
    worker = world.worker(overflow=policy)
    outputs = await world.outputs(4)
    for output in outputs:
        check_prediction(output, worker.session, world.tokenizer.with_overflow(Overflow(policy)))
        sentiment = json.loads(output.value or b"")["sentiment"]
        assert "windows" not in sentiment
        assert sentiment["truncated"] is (output.source[1] == 2)
