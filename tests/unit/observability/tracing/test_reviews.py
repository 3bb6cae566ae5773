"""What becomes of a review's trace on its way through the worker, from the fake broker to the fake broker."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from fakes import FakeSession
from kafka_tools import Message
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanKind, StatusCode
from tracing_parts import PARENT, SAMPLED, TRACE, UNSAMPLED, KeptSpans, TracedWorld, header, traceparent

from worker.inference import Artifact
from worker.settings import Settings
from worker.tokenization.tokenizer import Tokenizer

TEXT = "A quiet gem, seen twice."
REVIEW = b'{"text": "%s"}' % TEXT.encode()
LONG = b'{"text": "%s"}' % (b"wonderful " * 1500)


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Artifact.load(None).load_tokeniser()


@pytest.fixture
def spans() -> KeptSpans:
    return KeptSpans()


@pytest.fixture(params=["at_least_once", "exactly_once"])
async def world(request: pytest.FixtureRequest, tokenizer: Tokenizer, spans: KeptSpans) -> AsyncIterator[TracedWorld]:
    settings = Settings(
        processing_guarantee=request.param,
        bootstrap_servers="nowhere:1",
        group="group",
        commit_interval_s=0.05,
        overflow="windows",
        max_batch_tokens=1024,
        max_event_bytes=100_000,
    )
    world = TracedWorld(settings, tokenizer, spans)
    try:
        yield world
    finally:
        await world.close()


async def classified(world: TracedWorld, *messages: Message, outputs: int, dead_letters: int = 0) -> None:
    await world.create_topics(output=20_000)
    await world.produce(messages)
    worker = world.worker()
    await world.outputs(outputs)
    await world.dead_letters(dead_letters)
    await worker.stop()


def inside(child: ReadableSpan, parent: ReadableSpan) -> bool:
    return parent.start_time <= child.start_time <= child.end_time <= parent.end_time


async def test_a_review_continues_its_producers_trace(world: TracedWorld, spans: KeptSpans) -> None:
    await classified(world, Message(REVIEW, b"key", [("a", b"1"), SAMPLED, ("b", None)]), outputs=1)
    (output,) = await world.outputs(1)
    (span,) = spans.reviews().values()
    assert (f"{span.context.trace_id:032x}", f"{span.parent.span_id:016x}") == (TRACE, PARENT)
    assert span.kind is SpanKind.CONSUMER
    assert span.name == "process reviews.in"
    assert dict(span.attributes) == {
        "messaging.system": "kafka",
        "messaging.operation.name": "process",
        "messaging.operation.type": "process",
        "messaging.destination.name": "reviews.in",
        "messaging.destination.partition.id": "0",
        "messaging.kafka.offset": 0,
        "messaging.consumer.group.name": "group",
        "messaging.message.body.size": len(REVIEW),
        "reviews_worker.outcome": "classified",
        "reviews_worker.tokens": len(world.tokenizer.encode(TEXT)),
        "reviews_worker.truncated": False,
        "reviews_worker.windows": 1,
        "reviews_worker.unknown": 0.0,
    }
    assert output.headers == (
        ("a", b"1"),
        ("b", None),
        ("traceparent", traceparent(span)),
        ("source", b"reviews.in/0/0"),
    )


async def test_its_stages_are_its_children_one_after_the_other(world: TracedWorld, spans: KeptSpans) -> None:
    messages = [Message(REVIEW, headers=[SAMPLED]) for _ in range(40)]
    await classified(world, *messages, outputs=len(messages))
    for review in spans.reviews().values():
        stages = spans.stages(review)
        assert list(stages) == ["prepare", "queue", "inference", "send reviews.classified"]
        assert all(inside(stage, review) for stage in stages.values())
        prepare, queue, inference, send = stages.values()
        assert prepare.end_time == queue.start_time
        assert queue.end_time == inference.start_time
        assert inference.end_time <= send.start_time
        assert send.end_time == review.end_time
        assert 1 <= inference.attributes["reviews_worker.batch.rows"] <= len(messages)
        assert send.kind is SpanKind.PRODUCER
        assert send.attributes["messaging.destination.name"] == "reviews.classified"


async def test_a_review_without_a_context_begins_a_trace_of_its_own(world: TracedWorld, spans: KeptSpans) -> None:
    await classified(world, Message(REVIEW), Message(REVIEW, headers=[("traceparent", b"00-12-34-01")]), outputs=2)
    reviews = spans.reviews()
    assert len({span.context.trace_id for span in reviews.values()}) == 2
    for output in await world.outputs(2):
        span = reviews[output.header("source")]
        assert span.parent is None
        assert header(output.headers, "traceparent") == traceparent(span)


async def test_a_dead_letter_carries_the_context_too_and_its_span_says_why(
    world: TracedWorld, spans: KeptSpans
) -> None:
    await classified(world, Message(b'{"stars": 5}', headers=[SAMPLED, ("a", b"1")]), outputs=0, dead_letters=1)
    (letter,) = await world.dead_letters(1)
    (span,) = spans.reviews().values()
    assert letter.headers[:2] == (("a", b"1"), ("traceparent", traceparent(span)))
    assert letter.header("reviews_worker.errors.reason") == "text_missing"
    assert (span.status.status_code, span.status.description) == (StatusCode.ERROR, "text_missing")
    assert span.attributes["error.type"] == "text_missing"
    assert span.attributes["reviews_worker.stage"] == "decode"
    assert list(spans.stages(span)) == ["prepare", "send reviews.dlq"]


async def test_an_output_that_is_too_large_is_a_dead_letter_with_the_context(
    world: TracedWorld, spans: KeptSpans
) -> None:
    value = b'{"text": "short", "more": "%s"}' % (b"x" * 30_000)
    await classified(world, Message(value, headers=[SAMPLED]), outputs=0, dead_letters=1)
    (letter,) = await world.dead_letters(1)
    (span,) = spans.reviews().values()
    assert header(letter.headers, "traceparent") == traceparent(span)
    assert span.attributes["error.type"] == "output_too_large"
    assert list(spans.stages(span)) == ["prepare", "queue", "inference", "send reviews.dlq"]


async def test_a_tombstone_passes_the_context_on(world: TracedWorld, spans: KeptSpans) -> None:
    await classified(world, Message(None, b"gone", [SAMPLED]), outputs=1)
    (output,) = await world.outputs(1)
    (span,) = spans.reviews().values()
    assert output.value is None
    assert header(output.headers, "traceparent") == traceparent(span)
    assert span.attributes["messaging.kafka.message.tombstone"] is True
    assert span.attributes["reviews_worker.outcome"] == "tombstone"
    assert span.status.status_code is StatusCode.UNSET


async def test_a_trace_that_is_not_sampled_goes_on_unsampled(world: TracedWorld, spans: KeptSpans) -> None:
    state = ("tracestate", b"vendor=x")
    await classified(world, Message(REVIEW, headers=[UNSAMPLED, state]), Message(b"[]", headers=[UNSAMPLED]), outputs=1)
    (output,) = await world.outputs(1)
    (letter,) = await world.dead_letters(1)
    assert spans.finished() == ()
    for record in (output, letter):
        version, trace, parent, flags = (header(record.headers, "traceparent") or b"").decode().split("-")
        assert (version, trace, flags) == ("00", TRACE, "00")
        assert parent != PARENT
    assert header(output.headers, "tracestate") == b"vendor=x"


async def test_a_review_in_windows_is_computed_from_its_first_batch_to_its_last(
    world: TracedWorld, spans: KeptSpans
) -> None:
    await classified(world, Message(LONG, headers=[SAMPLED]), *[Message(REVIEW)] * 5, outputs=6)
    review = spans.reviews()["reviews.in/0/0"]
    assert review.attributes["reviews_worker.windows"] > 2
    assert inside(spans.stages(review)["inference"], review)


async def test_a_review_that_fails_in_the_model_has_its_inference(world: TracedWorld, spans: KeptSpans) -> None:
    await world.create_topics()
    session = FakeSession()
    session.poison([world.tokenizer.encode(TEXT)])
    await world.produce([Message(REVIEW), Message(b'{"text": "another"}')])
    worker = world.worker(session)
    await world.outputs(1)
    await world.dead_letters(1)
    await worker.stop()
    failed = spans.reviews()["reviews.in/0/0"]
    assert failed.attributes["error.type"] == "inference_failed"
    assert "inference" in spans.stages(failed)


async def test_no_span_says_anything_of_text_key_or_headers(world: TracedWorld, spans: KeptSpans) -> None:
    secret = b"xylophone"
    headers = [("password", secret), SAMPLED]
    values = [b'{"text": "%s"}' % secret, b'{"text": "%s' % secret, b'{"other": "%s"}' % secret, None]
    await classified(world, *[Message(value, secret, headers) for value in values], outputs=2, dead_letters=2)
    spans_made = spans.finished()
    assert len(spans.reviews()) == len(values)
    assert not [span for span in spans_made if secret.decode() in span.to_json() or "password" in span.to_json()]
