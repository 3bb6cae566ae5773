"""Every reason to reject an event, and exactly which bytes come out for one that is accepted."""

from __future__ import annotations

import json
import math

import pytest

from worker.errors import Reason, RecordError, Stage
from worker.events.codec import MAX_DEPTH, EventCodec, ResultWriter, rfc3339_ms
from worker.records import Prediction

RESULT = b'{"label":"pos"}'


def codec(text_field: str = "text", result_field: str = "sentiment", max_event_bytes: int = 1_000_000) -> EventCodec:
    return EventCodec(text_field, result_field, max_event_bytes)


def spliced(value: bytes, text_field: str = "text", result_field: str = "sentiment") -> bytes:
    """What comes out for an accepted event, with `RESULT` as its result."""
    used = codec(text_field, result_field)
    return used.encode(value, used.decode(value).has_result, RESULT)


def rejection(value: bytes, text_field: str = "text", max_event_bytes: int = 1_000_000) -> RecordError:
    with pytest.raises(RecordError) as caught:
        codec(text_field, max_event_bytes=max_event_bytes).decode(value)
    assert caught.value.stage is Stage.DECODE
    assert str(caught.value)
    return caught.value


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (b"\xff\xfe{\x00", Reason.NOT_UTF8),
        (b'{"text":"caf\xe9"}', Reason.NOT_UTF8),
        (b'{"text":"\xed\xa0\x80"}', Reason.NOT_UTF8),
        (b"", Reason.NOT_JSON),
        (b" \r\n\t", Reason.NOT_JSON),
        (b"good", Reason.NOT_JSON),
        (b'{"text":"good"', Reason.NOT_JSON),
        (b'{"text":"good"}}', Reason.NOT_JSON),
        (b'{"text":"good",}', Reason.NOT_JSON),
        (b"{'text':'good'}", Reason.NOT_JSON),
        (b'{"text":"a\nb"}', Reason.NOT_JSON),
        (b'{"text":"\\x41"}', Reason.NOT_JSON),
        (b'{"text":"good","n":NaN}', Reason.NOT_JSON),
        (b'{"text":"good","n":-Infinity}', Reason.NOT_JSON),
        (b'{"text":"good","n":01}', Reason.NOT_JSON),
        (b'{"text":"good","n":1.}', Reason.NOT_JSON),
        (b'\x00\x00\x00\x00\x07{"text":"good"}', Reason.NOT_JSON),
        (b'\xef\xbb\xbf{"text":"good"}', Reason.NOT_JSON),
        (b'\x0c{"text":"good"}', Reason.NOT_JSON),
        (b"[" * 200_000, Reason.NOT_JSON),
        (b'{"text":"good","a":' + b"[" * MAX_DEPTH + b"]" * MAX_DEPTH + b"}", Reason.NOT_JSON),
        (b'["text"]', Reason.NOT_OBJECT),
        (b'"text"', Reason.NOT_OBJECT),
        (b"7", Reason.NOT_OBJECT),
        (b"1e999", Reason.NOT_OBJECT),
        (b"null", Reason.NOT_OBJECT),
        (b"true", Reason.NOT_OBJECT),
        (b"{}", Reason.TEXT_MISSING),
        (b'{"Text":"good"}', Reason.TEXT_MISSING),
        (b'{"a":{"text":"good"}}', Reason.TEXT_MISSING),
        (b'{"text":null}', Reason.TEXT_NOT_STRING),
        (b'{"text":5}', Reason.TEXT_NOT_STRING),
        (b'{"text":["good"]}', Reason.TEXT_NOT_STRING),
        (b'{"text":5,"n":1e999}', Reason.TEXT_NOT_STRING),
        (b'{"text":1e999}', Reason.TEXT_NOT_STRING),
        (b'{"text":' + b"9" * 5_000 + b"}", Reason.TEXT_NOT_STRING),
        (b'{"text":"good","text":false}', Reason.TEXT_NOT_STRING),
        (b'{"text":""}', Reason.TEXT_BLANK),
        (b'{"text":" \\t\\n\\u0000"}', Reason.TEXT_BLANK),
        ('{"text":"\u00a0\u2003\u3000\u200b\u200d\u2060\ufeff\u2028"}'.encode(), Reason.TEXT_BLANK),
        (b'{"text":" ","n":1e999}', Reason.TEXT_BLANK),
        ('{"text":"\u0301\u0308"}'.encode(), Reason.TEXT_BLANK),
        ('{"text":"\ufe0f\U000e0100"}'.encode(), Reason.TEXT_BLANK),
        ('{"text":"\u3164\u115f\u1160\uffa0"}'.encode(), Reason.TEXT_BLANK),
        ('{"text":"\u2800 \u2800"}'.encode(), Reason.TEXT_BLANK),
    ],
)
def test_an_event_that_cannot_be_classified_is_rejected_with_its_reason(value: bytes, reason: Reason) -> None:
    assert rejection(value).reason is reason


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (b'{"text":"good"}', Reason.TEXT_MISSING),
        (b'{"review":{}}', Reason.TEXT_MISSING),
        (b'{"review":"body"}', Reason.TEXT_MISSING),
        (b'{"review":[{"body":"good"}]}', Reason.TEXT_MISSING),
        (b'{"review.body":"good"}', Reason.TEXT_MISSING),
        (b'{"review":{"body":{}}}', Reason.TEXT_NOT_STRING),
        (b'{"review":{"body":null}}', Reason.TEXT_NOT_STRING),
        (b'{"review":{"body":"\\n"}}', Reason.TEXT_BLANK),
    ],
)
def test_a_nested_text_is_looked_up_by_its_path(value: bytes, reason: Reason) -> None:
    assert rejection(value, text_field="review.body").reason is reason


def test_an_event_of_exactly_the_limit_is_accepted_and_one_byte_more_is_too_large() -> None:
    value = b'{"text":"good"}'
    assert codec(max_event_bytes=len(value)).decode(value).text == "good"
    error = rejection(value, max_event_bytes=len(value) - 1)
    assert error.reason is Reason.EVENT_TOO_LARGE
    assert "15 bytes, the limit is 14" in str(error)


def test_a_large_event_is_not_parsed() -> None:
    assert rejection(b"\xff" * 100, max_event_bytes=99).reason is Reason.EVENT_TOO_LARGE


@pytest.mark.parametrize(
    "value",
    [
        b'{"text":["SECRET"]}',
        b'{"text":"SECRET',
        b'{"text":"SECRET\\q"}',
        b'{"text":"SECRET\n"}',
        b'{"text":"SECRET \xff"}',
        b'["SECRET"]',
        b'"SECRET"',
        b'{"body":"SECRET"}',
    ],
)
def test_an_error_never_quotes_the_event(value: bytes) -> None:
    assert "SECRET" not in str(rejection(value))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (b'{"text":"good"}', "good"),
        (b'  {"text" : "good" }\r\n', "good"),
        (b'{"text":"caf\\u00e9 \\ud83d\\ude00"}', "café 😀"),
        ('{"text":"café 😀"}'.encode(), "café 😀"),
        (b'{"text":"bad","text":"good"}', "good"),
        (b'{"\\u0074ext":"good"}', "good"),
        (b'{"text":"good","n":1e999,"m":-1e999}', "good"),
        (b'{"text":"good","n":' + b"1" * 5_000 + b"}", "good"),
        (b'{"text":"go\\ud800od"}', "go\ufffdod"),
        (b'{"text":"\\udc00\\ud800"}', "\ufffd\ufffd"),
        (b'{"text":"good \\ud83d\\ude00","a":"\\ud800","\\udfff":1}', "good 😀"),
        ('{"text":"\u200b!"}'.encode(), "\u200b!"),
        ('{"text":"👍"}'.encode(), "👍"),
        (b'{"text":"good","a":' + b"[" * 900 + b"]" * 900 + b"}", "good"),
    ],
)
def test_the_text_of_an_accepted_event(value: bytes, text: str) -> None:
    assert codec().decode(value).text == text


def test_a_nested_text_is_found_and_the_result_goes_to_the_event_itself() -> None:
    value = b'{"review":{"body":"good","sentiment":1}}'
    event = codec("review.body").decode(value)
    assert (event.text, event.has_result) == ("good", False)
    assert spliced(value, text_field="review.body") == (
        b'{"review":{"body":"good","sentiment":1},"sentiment":{"label":"pos"}}'
    )


@pytest.mark.parametrize(
    "value",
    [
        b'{"text":"good","id":123456789012345678901234567890}',
        b'{"id":1.10e+05,"x":-0.0,"y":1E400,"text":"good"}',
        b'{"a":1,"a":2,"text":"good","b":0,"a":3}',
        b'{"text":"\\u0067ood\\/","\\ud800":"\\udc00"}',
        b' {\t"text" :\n"good" , "z" : {"}" : "}"}}',
    ],
)
def test_the_result_goes_before_the_last_brace_and_nothing_else_changes(value: bytes) -> None:
    assert spliced(value) == value[:-1] + b',"sentiment":{"label":"pos"}}'


def test_white_space_around_the_last_brace_stays() -> None:
    assert spliced(b' {"text":"}" }\n') == b' {"text":"}" ,"sentiment":{"label":"pos"}}\n'


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b'{"sentiment":1,"text":"a"}', b'{"sentiment":R,"text":"a"}'),
        (b'{"text":"a","sentiment":1}', b'{"text":"a","sentiment":R}'),
        (b'{"text":"a" , "sentiment" :\n1 \t}\n', b'{"text":"a" , "sentiment":R \t}\n'),
        (b' { "sentiment" : null , "text":"a"}', b' { "sentiment":R , "text":"a"}'),
        (b'{"text":"a","sentiment":{"a":[{}, "}", {"sentiment":1}]},"b":1}', b'{"text":"a","sentiment":R,"b":1}'),
        (b'{"text":"a","sentiment":"\\"}],{","b":[]}', b'{"text":"a","sentiment":R,"b":[]}'),
        (b'{"text":"a","sentiment":"\\\\","b":[]}', b'{"text":"a","sentiment":R,"b":[]}'),
        (b'{"text":"a","sentiment":1,"sentiment":2}', b'{"text":"a","sentiment":R}'),
        (
            b'{"sentiment":1 , "b":2 , "sentiment":[3] ,"text":"a" , "sentiment":4 }',
            b'{"sentiment":R , "b":2  ,"text":"a"  }',
        ),
        (b'{"text":"a","sent\\u0069ment":1,"b":2,"sentiment":3}', b'{"text":"a","sentiment":R,"b":2}'),
        (b'{"text":"a","\\u0053entiment":1,"sentiment":3}', b'{"text":"a","\\u0053entiment":1,"sentiment":R}'),
        (b'{"text":"sentiment","a":"sentiment","sentiment":0}', b'{"text":"sentiment","a":"sentiment","sentiment":R}'),
        (b'{"text":"a","sentiment":-1.5e+999}', b'{"text":"a","sentiment":R}'),
        (b'{"text":"a","\\ud800":0,"sentiment":true}', b'{"text":"a","\\ud800":0,"sentiment":R}'),
    ],
)
def test_a_result_that_was_there_is_replaced_in_place_and_repeats_are_removed(value: bytes, expected: bytes) -> None:
    assert codec().decode(value).has_result
    assert spliced(value) == expected.replace(b"R", RESULT)


def test_members_of_that_name_in_nested_objects_stay() -> None:
    value = b'{"text":"a","b":{"sentiment":1},"c":[{"sentiment":2}]}'
    assert not codec().decode(value).has_result
    assert spliced(value) == value[:-1] + b',"sentiment":{"label":"pos"}}'


@pytest.mark.parametrize("name", ['a"b', "a\\b", "é", "%s", " ", "{}"])
def test_the_result_may_have_any_name(name: str) -> None:
    first = spliced(b'{"text":"a"}', result_field=name)
    assert list(json.loads(first)) == ["text", name]
    again = codec(result_field=name).encode(first, codec(result_field=name).decode(first).has_result, b"1")
    assert json.loads(again) == {"text": "a", name: 1}


def test_the_result_has_the_published_form() -> None:
    writer = ResultWriter(["neg", "pos"], "mini@1.0")
    result = writer.result(Prediction((0.0020004, 0.9979996), tokens=9, truncated=False), "2026-01-31T09:30:00.125Z")
    assert result == (
        b'{"label":"pos","score":0.998000,"scores":{"neg":0.002000,"pos":0.998000},"model":"mini@1.0",'
        b'"tokens":9,"truncated":false,"unknown":0.000,"classified_at":"2026-01-31T09:30:00.125Z"}'
    )


def test_the_label_is_the_highest_score_before_rounding_and_the_first_of_equals() -> None:
    writer = ResultWriter(["a", "b", "c"], "m@1")
    assert json.loads(writer.result(Prediction((0.3, 0.35, 0.3500001), 3, True), "t"))["label"] == "c"
    assert json.loads(writer.result(Prediction((0.2, 0.4, 0.4), 3, True), "t"))["label"] == "b"


def test_scores_stay_between_zero_and_one() -> None:
    result = json.loads(ResultWriter(["a", "b"], "m@1").result(Prediction((-1e-6, 1.000002), 3, True), "t"))
    assert (result["score"], result["scores"]) == (1.0, {"a": 0.0, "b": 1.0})
    assert result["truncated"] is True


@pytest.mark.parametrize("scores", [(math.nan, 0.5), (0.5, math.nan), (math.inf, 0.0), (math.inf, -math.inf)])
def test_scores_that_are_no_numbers_are_an_inference_failure(scores: tuple[float, float]) -> None:
    with pytest.raises(RecordError) as caught:
        ResultWriter(["a", "b"], "m@1").result(Prediction(scores, 3, False), "t")
    assert (caught.value.reason, caught.value.stage) == (Reason.INFERENCE_FAILED, Stage.INFER)


def test_the_share_of_unknown_pieces_has_three_decimals() -> None:
    result = ResultWriter(["a", "b"], "m@1").result(Prediction((0.25, 0.75), 3, False, unknown=2 / 3), "t")
    assert b'"unknown":0.667,' in result


def test_labels_and_model_may_hold_any_characters() -> None:
    writer = ResultWriter(['5% "off"', "sehr gut ✓"], "m%d\\@1")
    result = json.loads(writer.result(Prediction((0.25, 0.75), 3, False), "t"))
    assert (result["label"], result["model"]) == ("sehr gut ✓", "m%d\\@1")
    assert result["scores"] == {'5% "off"': 0.25, "sehr gut ✓": 0.75}


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (0.0, "1970-01-01T00:00:00.000Z"),
        (1_769_851_800.125, "2026-01-31T09:30:00.125Z"),
        (1_769_851_800.9994, "2026-01-31T09:30:00.999Z"),
        (951_782_400, "2000-02-29T00:00:00.000Z"),
    ],
)
def test_times_are_rfc_3339_in_utc_with_milliseconds(seconds: float, expected: str) -> None:
    assert rfc3339_ms(seconds) == expected


def test_how_many_windows_were_read_is_said_where_reviews_are_read_in_windows() -> None:
    prediction = Prediction((0.25, 0.75), tokens=1182, truncated=False, windows=3)
    plain = json.loads(ResultWriter(["neg", "pos"], "mini@1").result(prediction, "t"))
    result = ResultWriter(["neg", "pos"], "mini@1", in_windows=True).result(prediction, "t")
    assert b'"tokens":1182,"truncated":false,"unknown":0.000,"windows":3,"classified_at":"t"}' in result
    assert json.loads(result) == plain | {"windows": 3}
    short = ResultWriter(["neg", "pos"], "mini@1", in_windows=True).result(Prediction((0.2, 0.8), 9, False), "t")
    assert json.loads(short)["windows"] == 1


@pytest.mark.parametrize("odd", [b'"n":1e400', b'"s":"\\ud800"'])
def test_the_limit_on_nesting_is_the_same_for_an_event_that_the_fast_parser_refuses(odd: bytes) -> None:
    nested = b'{"text":"good",%s,"a":' % odd + b"[" * (MAX_DEPTH - 1) + b"]" * (MAX_DEPTH - 1) + b"}"
    assert codec().decode(nested).text == "good"
    assert rejection(nested.replace(b"[]", b"[[]]")).reason is Reason.NOT_JSON
