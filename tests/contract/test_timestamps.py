"""Times of events that a topic does not take, and times at the edges of what Kafka knows."""

from __future__ import annotations

import time
from dataclasses import replace

from contract.reviews import FIRST_TIMESTAMP_MS, numbers, review, reviews
from contract.world import Out, World
from fakes import FakeSession
from kafka_tools import Message

from worker.errors import ExitCode

YEAR_MS = 365 * 86_400_000
SINCE_MS = 30 * YEAR_MS  # the end of 1999
UNTIL_MS = 200 * YEAR_MS
YEAR_9999_MS = 253_402_300_799_000


def old(number: int, key: bytes = b"old") -> Message:
    """A review from long ago."""
    return replace(review(number), key=key, timestamp_ms=(number + 1) * 1000)


def own_time(letter: Out) -> str:
    return letter.header("reviews_worker.errors.timestamp")


def is_recent(record: Out) -> bool:
    """In memory "now" is a time that the fake broker gives."""
    return FIRST_TIMESTAMP_MS <= record.timestamp_ms <= time.time() * 1000 + 60_000


async def test_an_event_whose_time_the_output_topic_refuses_becomes_a_dead_letter_alone(world: World) -> None:
    await world.create_topics()
    await world.take_times(world.settings.output_topic, SINCE_MS, UNTIL_MS)
    messages = [*reviews(10), old(90), *reviews(10, first=10), old(92), old(91), *reviews(5, first=20)]
    await world.produce(messages)
    worker = world.worker()
    letters = await world.dead_letters(3)
    outputs = await world.outputs(25)
    assert numbers(outputs) == list(range(25))
    assert [output.timestamp_ms for output in outputs] == [FIRST_TIMESTAMP_MS + number for number in range(25)]
    assert [letter.source for letter in letters] == [(0, 10), (0, 21), (0, 22)]
    assert {letter.header("reviews_worker.errors.reason") for letter in letters} == {"timestamp_refused"}
    assert [own_time(letter) for letter in letters] == ["91000", "93000", "92000"]
    assert all(map(is_recent, letters))
    assert "1970-01-01T00:01:31.000Z" in letters[0].header("__streams.errors.message")
    assert [letter.value for letter in letters] == [messages[10].value, messages[21].value, messages[22].value]
    assert await worker.stop() is ExitCode.OK
    assert worker.metric("dead_letters_total", reason="timestamp_refused") == 3
    assert await world.check_commits() == {0: 28}


async def test_dead_letters_of_refused_times_keep_their_order_whatever_is_known_by_then(world: World) -> None:
    await world.create_topics()
    await world.take_times(world.settings.output_topic, SINCE_MS, UNTIL_MS)
    # Each fourth is refused, the later ones mostly for less than what is known by then.
    messages = [replace(each, timestamp_ms=(n * 7919 % 1000) * 86_400_000) if n % 4 == 3 else each
                for n, each in enumerate(reviews(400))]  # fmt: skip
    await world.produce(messages)
    worker = world.worker(fuse_run_length=5)
    letters = await world.dead_letters(100)
    assert [letter.source[1] for letter in letters] == list(range(3, 400, 4))
    assert numbers(await world.outputs(300)) == [number for number in range(400) if number % 4 != 3]
    assert await worker.stop() is ExitCode.OK
    assert await world.check_commits() == {0: 400}


async def test_a_dead_letter_whose_time_its_topic_refuses_gets_that_of_now_and_keeps_its_place(world: World) -> None:
    await world.create_topics()
    for topic in (world.settings.output_topic, world.settings.dead_letter_topic):
        await world.take_times(topic, SINCE_MS, UNTIL_MS)
    session = FakeSession()
    session.hold()
    bad = Message(b"no JSON", b"k", timestamp_ms=FIRST_TIMESTAMP_MS)
    bad_and_old = replace(bad, timestamp_ms=5)
    await world.produce([*reviews(3), bad, bad_and_old, bad, old(7), bad_and_old, bad, *reviews(2, first=3)])
    worker = world.worker(session)
    await worker.until_computing()
    session.release()
    letters = await world.dead_letters(6)
    assert numbers(await world.outputs(5)) == list(range(5))
    by_offset = {letter.source[1]: letter for letter in letters}
    not_json = [letter.source[1] for letter in letters if letter.header("__streams.errors.message").startswith("not")]
    assert not_json == [3, 4, 5, 7, 8]
    assert by_offset[6].header("reviews_worker.errors.reason") == "timestamp_refused"
    assert {offset: own_time(by_offset[offset]) for offset in (4, 6, 7)} == {4: "5", 6: "8000", 7: "5"}
    assert all(is_recent(by_offset[offset]) for offset in (4, 6, 7))
    for offset in (3, 5, 8):
        assert by_offset[offset].timestamp_ms == FIRST_TIMESTAMP_MS
        assert "reviews_worker.errors.timestamp" not in dict(by_offset[offset].headers)
    assert await worker.stop() is ExitCode.OK
    assert worker.metric("dead_letters_total", reason="not_json") == 5
    assert await world.check_commits() == {0: 11}


async def test_a_time_far_ahead_that_is_refused_becomes_a_dead_letter_too(world: World) -> None:
    await world.create_topics()
    await world.take_times(world.settings.input_topic, 0, 2 * YEAR_9999_MS)
    await world.take_times(world.settings.output_topic, 0, UNTIL_MS)
    ahead = [replace(review(50 + number), timestamp_ms=YEAR_9999_MS + number) for number in range(2)]
    await world.produce([*reviews(5), ahead[0], *reviews(5, first=5), ahead[1], *reviews(1, first=10)])
    worker = world.worker()
    letters = await world.dead_letters(2)
    assert numbers(await world.outputs(11)) == list(range(11))
    assert [own_time(letter) for letter in letters] == [str(YEAR_9999_MS), str(YEAR_9999_MS + 1)]
    assert "9999-12-31T23:59:59.000Z" in letters[0].header("__streams.errors.message")
    assert await worker.stop() is ExitCode.OK
    assert await world.check_commits() == {0: 13}


async def test_times_at_the_edges_are_carried_over_and_those_before_1970_in_a_header(world: World) -> None:
    await world.create_topics()
    for topic in (world.settings.input_topic, world.settings.output_topic, world.settings.dead_letter_topic):
        await world.take_times(topic, -YEAR_9999_MS, 2 * YEAR_9999_MS)
    times = [0, 1, YEAR_9999_MS, 2**47, -YEAR_MS, -2, -1]
    good = [replace(review(number), timestamp_ms=each) for number, each in enumerate(times)]
    bad = [Message(b"[]", b"k", timestamp_ms=each) for each in times]
    await world.produce([*good, *bad])
    worker = world.worker()
    outputs, letters = await world.outputs(len(times)), await world.dead_letters(len(times))
    assert numbers(outputs) == list(range(len(times)))
    for name, records in (("source_timestamp", outputs), ("reviews_worker.errors.timestamp", letters)):
        assert [record.timestamp_ms for record in records[:4]] == times[:4]
        assert all(map(is_recent, records[4:]))
        kept = [dict(record.headers).get(name) for record in records]
        assert kept == [None, None, None, None, b"%d" % -YEAR_MS, b"-2", None]
    assert {output.headers[-1][0] for output in outputs} == {"source"}
    assert await worker.stop() is ExitCode.OK
    assert await world.check_commits() == {0: 2 * len(times)}
