"""What holds for any event and for any bytes."""

from __future__ import annotations

import json
from typing import NoReturn

from hypothesis import given
from hypothesis import strategies as st
from strategies import RawMember, RawObject, invisible_texts, is_invisible, raw_events, raw_values

from worker.errors import Reason, RecordError, Stage
from worker.events.codec import EventCodec, ResultWriter
from worker.records import Prediction, ReviewEvent

RESULT = b'{"label":"pos"}'
CODEC = EventCodec("text", "sentiment", 1_000_000)
FRAGMENTS = [b"{", b"}", b"[", b"]", b",", b":", b'"', b"\\", b'"text"', b'"a"', b"1", b"1e999", b" ", b"\xff", b"NaN"]


def is_result(member: RawMember) -> bool:
    return bool(json.loads(member.name) == "sentiment")


def expected_output(event: RawObject) -> bytes:
    """What must come out, put together from the parts of which the event was made."""
    kept: list[bytes] = []
    replaced = False
    for member in event.members:
        if not is_result(member):
            kept.append(member.spelled)
        elif replaced:
            kept[-1] += member.after
        else:
            kept.append(member.before + b'"sentiment":' + RESULT + member.after)
            replaced = True
    if not replaced:
        kept.append(b'"sentiment":' + RESULT)
    return event.lead + b"{" + b",".join(kept) + b"}" + event.trail


def refuse(constant: str) -> NoReturn:
    raise ValueError(constant)


def decoded(value: bytes) -> ReviewEvent | Reason:
    try:
        return CODEC.decode(value)
    except RecordError as error:
        assert error.stage is Stage.DECODE
        return error.reason


def expected_decision(value: bytes) -> str | Reason:
    """The text or the reason to reject, by the standard library alone."""
    try:
        document = value.decode()
    except UnicodeDecodeError:
        return Reason.NOT_UTF8
    try:
        event = json.loads(document, parse_int=float, parse_constant=refuse)
    except (ValueError, RecursionError):
        return Reason.NOT_JSON
    if not isinstance(event, dict):
        return Reason.NOT_OBJECT
    if "text" not in event:
        return Reason.TEXT_MISSING
    text = event["text"]
    if not isinstance(text, str):
        return Reason.TEXT_NOT_STRING
    if all(map(is_invisible, text)):
        return Reason.TEXT_BLANK
    return "".join("\ufffd" if "\ud800" <= character <= "\udfff" else character for character in text)


def agrees(value: bytes) -> bool:
    actual, expected = decoded(value), expected_decision(value)
    return (actual.text if isinstance(actual, ReviewEvent) else actual) == expected


@given(raw_events())
def test_an_accepted_event_comes_out_byte_for_byte_with_one_result(event: RawObject) -> None:
    value = event.spelled
    review = CODEC.decode(value)
    assert review.has_result == any(is_result(member) for member in event.members)
    output = CODEC.encode(value, review.has_result, RESULT)
    assert output == expected_output(event)
    pairs = json.loads(output, parse_int=str, parse_float=str, object_pairs_hook=list)
    assert [member for name, member in pairs if name == "sentiment"] == [[("label", "pos")]]
    again = CODEC.decode(output)
    assert (again.text, again.has_result) == (review.text, True)
    assert CODEC.encode(output, True, RESULT) == output


@given(st.binary(max_size=200))
def test_any_bytes_are_an_event_or_rejected(value: bytes) -> None:
    assert agrees(value)


@given(st.lists(st.sampled_from(FRAGMENTS), max_size=30).map(b"".join))
def test_anything_that_looks_like_json_is_an_event_or_rejected(value: bytes) -> None:
    assert agrees(value)


@given(raw_values())
def test_any_json_value_is_an_event_or_rejected(value: bytes) -> None:
    assert agrees(value)
    assert agrees(b'{"text":' + value + b"}")


@given(invisible_texts())
def test_a_text_with_nothing_to_see_is_blank_and_one_visible_character_makes_a_review(text: str) -> None:
    assert decoded(json.dumps({"text": text}).encode()) is Reason.TEXT_BLANK
    for visible in ("a", "!", "я", "\N{HANGUL SYLLABLE GA}", "\N{BRAILLE PATTERN DOTS-1}", "\N{THUMBS UP SIGN}"):
        review = decoded(json.dumps({"text": text + visible + text}).encode())
        assert isinstance(review, ReviewEvent)


@given(st.characters())
def test_any_character_alone_is_blank_or_a_review(character: str) -> None:
    assert agrees(json.dumps({"text": character}).encode())


@given(raw_events(), st.data())
def test_a_damaged_event_is_an_event_or_rejected(event: RawObject, data: st.DataObject) -> None:
    value = event.spelled
    start = data.draw(st.integers(0, len(value)))
    end = data.draw(st.integers(start, min(len(value), start + 3)))
    assert agrees(value[:start] + data.draw(st.sampled_from([b"", *FRAGMENTS])) + value[end:])


@given(
    scores=st.lists(st.floats(0, 1), min_size=1, max_size=5),
    labels=st.lists(st.text(max_size=4), min_size=5, max_size=5, unique=True),
    model=st.text(max_size=8),
    tokens=st.integers(2, 4096),
    truncated=st.booleans(),
)
def test_any_result_says_what_the_model_said(
    scores: list[float], labels: list[str], model: str, tokens: int, truncated: bool
) -> None:
    labels = labels[: len(scores)]
    writer = ResultWriter(labels, model)
    result = json.loads(writer.result(Prediction(tuple(scores), tokens, truncated), "2026-01-31T09:30:00.125Z"))
    assert result["label"] == labels[scores.index(max(scores))]
    assert result["score"] == result["scores"][result["label"]]
    assert list(result["scores"]) == labels
    assert all(abs(result["scores"][label] - score) <= 5.1e-7 for label, score in zip(labels, scores, strict=True))
    assert (result["model"], result["tokens"], result["truncated"]) == (model, tokens, truncated)
