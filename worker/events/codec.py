"""The contract in code: bytes of an event to the text to classify, and the same bytes with the result spliced in.

The producer's bytes are never parsed and written again. That keeps large integers, the spelling of floats, duplicate
keys, key order and white space exactly as they came, and it is faster.
"""

from __future__ import annotations

import json
import re
import sys
import unicodedata
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from math import isfinite
from typing import Any, NamedTuple, NoReturn

import orjson

from worker.errors import Reason, RecordError, Stage
from worker.records import Prediction, ReviewEvent

MAX_DEPTH = 1024
"""Objects and arrays nested deeper than this are not accepted; the limit of the parser on the fast path."""
_RECURSION_LIMIT = MAX_DEPTH + 1000

_BOM = b"\xef\xbb\xbf"
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")
_INVISIBLE = frozenset({"Cc", "Cf", "Zs", "Zl", "Zp", "Mn", "Mc", "Me"})
"""Categories of white space, of control and format characters, and of marks, which are nothing without a letter."""
_FILLERS = frozenset("\u115f\u1160\u2800\u3164\uffa0\U0001d159")
"""Letters and symbols that are blank: Hangul's fillers, the Braille pattern without a dot, a note without a head."""
_IGNORABLE = ((0x2065, 0x2065), (0xFFF0, 0xFFF8), (0xE0000, 0xE0FFF))
"""Code points that are not assigned yet, and that are to be shown as nothing (Default_Ignorable_Code_Point)."""
# The closing quote is optional so that the patterns take linear time on bytes that are not JSON as well.
_STRING = rb'"(?:[^"\\]++|\\.)*+"?'
_NAME = re.compile(rb"\s*+([{,])\s*+(" + _STRING + rb")\s*+:\s*+", re.DOTALL)
_SCALAR = re.compile(_STRING + rb'|[^][{},"\s]++', re.DOTALL)
_BRACKET = re.compile(rb'(?:[^][{}"]++|' + _STRING + rb")*+[][{}]", re.DOTALL)
_TYPE_NAMES = {dict: "an object", list: "an array", str: "a string", bool: "true or false", type(None): "null"}


class EventCodec:
    """Reads and extends events; thread-safe, since it keeps no state.

    `text_field` may lead into nested objects by dots (``review.body``); `result_field` names a member of the event
    itself.
    """

    def __init__(self, text_field: str, result_field: str, max_event_bytes: int) -> None:
        self.text_field = text_field
        self.result_field = result_field
        self.max_event_bytes = max_event_bytes
        self._path = tuple(text_field.split("."))
        self._flat = len(self._path) == 1
        self._result_key = result_field.encode()
        self._name = orjson.dumps(result_field) + b":"
        self._separator = b"," + self._name

    def decode(self, value: bytes) -> ReviewEvent:
        """Accept an event or raise `RecordError` with the reason; no other exception, whatever the bytes.

        - Larger than `max_event_bytes`: ``event_too_large``, without a look inside.
        - A byte order mark is refused (``not_json``): RFC 8259 forbids it, and it would reach every consumer.
        - Duplicate members: the last one counts, as in most parsers.
        - Text with nothing to see in it (`is_blank`) is ``text_blank``.
        - A lone surrogate escape in the text is U+FFFD to the model; the bytes keep it.
        - Numbers may have any size and precision. ``NaN`` and ``Infinity`` are not JSON.
        """
        if len(value) > self.max_event_bytes:
            _reject(
                Reason.EVENT_TOO_LARGE,
                f"the event has {len(value)} bytes, the limit is {self.max_event_bytes} (setting max_event_bytes)",
            )
        try:
            event = orjson.loads(value)
        except orjson.JSONDecodeError:
            review = self._accept(_parse_exactly(value))
            review.text = _LONE_SURROGATE.sub("\N{REPLACEMENT CHARACTER}", review.text)
            return review
        return self._accept(event)

    def encode(self, value: bytes, has_result: bool, result: bytes) -> bytes:
        """Return `value`, an event that `decode` accepted, with `result` as the value of its result member.

        The member goes before the last brace. If the event had one (`has_result`), the new one takes the place of the
        first, and repeats of it are taken out; members of that name in nested objects are the producer's own.
        """
        if has_result:
            return self._replace(value, result)
        end = value.rindex(b"}")
        return b"".join((value[:end], self._separator, result, value[end:]))

    def _accept(self, event: object) -> ReviewEvent:
        if type(event) is not dict:
            _reject(Reason.NOT_OBJECT, f"the event is {type_name(event)}, not a JSON object")
        text = event.get(self._path[0]) if self._flat else self._find(event)
        if type(text) is not str:
            self._reject_text(event)
        if not "!" <= text[:1] <= "~" and is_blank(text):
            _reject(Reason.TEXT_BLANK, f"{self.text_field!r} has no visible character")
        return ReviewEvent(text, self.result_field in event)

    def _find(self, event: dict[str, Any]) -> object:
        node: Any = event
        for name in self._path:
            if type(node) is not dict:
                return None
            node = node.get(name)
        return node

    def _reject_text(self, event: dict[str, Any]) -> NoReturn:
        node: Any = event
        for index, name in enumerate(self._path):
            if type(node) is not dict:
                holder = ".".join(self._path[:index])
                why = f"{holder!r} is {type_name(node)}, so there is no member {self.text_field!r}"
                _reject(Reason.TEXT_MISSING, f"{why} (setting text_field)")
            if name not in node:
                _reject(Reason.TEXT_MISSING, f"the event has no member {self.text_field!r} (setting text_field)")
            node = node[name]
        _reject(Reason.TEXT_NOT_STRING, f"{self.text_field!r} is {type_name(node)}, not a string")

    def _replace(self, value: bytes, result: bytes) -> bytes:
        parts: list[bytes] = []
        kept = 0
        for member in _members(value):
            if self._is_result(member.name):
                if parts:
                    parts.append(value[kept : member.separator])
                else:
                    parts += (value[: member.start], self._name, result)
                kept = member.end
        parts.append(value[kept:])
        return b"".join(parts)

    def _is_result(self, name: bytes) -> bool:
        if b"\\" in name:
            return bool(json.loads(name.decode()) == self.result_field)
        return name[1:-1] == self._result_key


class ResultWriter:
    """Writes the result object for one model; thread-safe.

    `labels` are in the model's order; `model` is ``<name>@<version>``. The member ``windows`` is written, for short
    reviews too, when `in_windows`: where long ones are read in windows.
    """

    def __init__(self, labels: Sequence[str], model: str, *, in_windows: bool = False) -> None:
        self._in_windows = in_windows
        scores = ",".join(f"{_json_for_format(label)}:%.6f" for label in labels)
        read = '"tokens":%d,"truncated":%s,"unknown":%.3f,' + ('"windows":%d,' if in_windows else "")
        self._templates = tuple(
            f'{{"label":{_json_for_format(label)},"score":%.6f,"scores":{{{scores}}},'
            f'"model":{_json_for_format(model)},{read}"classified_at":"%s"}}'
            for label in labels
        )

    def result(self, prediction: Prediction, classified_at: str) -> bytes:
        """Return the object as JSON; `classified_at` comes from `rfc3339_ms`.

        Scores have six decimals and lie between 0 and 1. The label is the one with the highest score before rounding,
        the first of them when several are equal. Raises `RecordError` (``inference_failed``) when a score is not a
        finite number.
        """
        scores = prediction.scores
        if not isfinite(sum(scores)):
            raise RecordError(Reason.INFERENCE_FAILED, Stage.INFER, "the model's scores are not finite numbers")
        highest = max(scores)
        label = scores.index(highest)
        if highest > 1.0 or min(scores) < 0.0:
            scores = tuple(min(max(score, 0.0), 1.0) for score in scores)
        truncated = "true" if prediction.truncated else "false"
        read = (truncated, prediction.unknown, *((prediction.windows,) if self._in_windows else ()))
        values = (scores[label], *scores, prediction.tokens, *read, classified_at)
        return (self._templates[label] % values).encode()


def rfc3339_ms(epoch_seconds: float) -> str:
    """Return a time as RFC 3339 in UTC with milliseconds: ``2026-01-31T09:30:00.125Z``."""
    return datetime.fromtimestamp(epoch_seconds, UTC).isoformat(timespec="milliseconds")[:-6] + "Z"


def is_blank(text: str) -> bool:
    """Whether `text` has nothing to see, and so nothing to classify.

    White space, control and format characters, marks that stand on no letter (variation selectors too) and fillers.
    """
    for character in text:
        category = unicodedata.category(character)
        if category == "Cn" and any(first <= ord(character) <= last for first, last in _IGNORABLE):
            continue
        if category not in _INVISIBLE and character not in _FILLERS:
            return False
    return True


class _Member(NamedTuple):
    """A top-level member of an event: its name's bytes, and where it lies."""

    name: bytes
    separator: int
    """Position of the comma (or the event's brace) before it."""
    start: int
    end: int
    """Position after its value, white space not included."""


def _members(value: bytes) -> Iterator[_Member]:
    """Yield the top-level members of valid JSON bytes that hold an object."""
    end = 0
    while name := _NAME.match(value, end):
        end = _value_end(value, name.end())
        yield _Member(name[2], name.start(1), name.start(2), end)


def _value_end(value: bytes, start: int) -> int:
    if scalar := _SCALAR.match(value, start):
        return scalar.end()
    return next(end for depth, end in _depths(value, start) if depth == 0)


def _depths(value: bytes, start: int) -> Iterator[tuple[int, int]]:
    """Yield the depth after each bracket outside strings, and the position after that bracket."""
    depth = 0
    while bracket := _BRACKET.match(value, start):
        start = bracket.end()
        depth += 1 if value[start - 1] in b"{[" else -1
        yield depth, start


def _parse_exactly(value: bytes) -> object:
    """Decide about bytes that the fast parser refused: it also refuses valid JSON that does not fit its types."""
    try:
        document = value.decode()
    except UnicodeDecodeError as error:
        _reject(Reason.NOT_UTF8, f"not UTF-8 at byte {error.start}")
    if value.startswith(_BOM):
        _reject(Reason.NOT_JSON, "the event starts with a byte order mark, which JSON does not allow")
    if any(depth > MAX_DEPTH for depth, _ in _depths(value, 0)):
        _reject(Reason.NOT_JSON, f"the event is nested deeper than {MAX_DEPTH} levels")
    # The parser takes a frame for each level, on top of those below it; the usual limit is 1000 frames in all.
    if sys.getrecursionlimit() < _RECURSION_LIMIT:
        sys.setrecursionlimit(_RECURSION_LIMIT)
    try:
        # Numbers become floats, infinite ones included: their value does not matter, and no integer is too long.
        event = json.loads(document, parse_int=float, parse_constant=_refuse_constant)
    except json.JSONDecodeError as error:
        _reject(Reason.NOT_JSON, f"not JSON at line {error.lineno}, column {error.colno}")
    except ValueError:
        _reject(Reason.NOT_JSON, "not JSON: NaN and Infinity are no JSON numbers")
    except RecursionError:
        _reject(Reason.NOT_JSON, "the event is nested too deeply")
    return event


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(name)


def _json_for_format(text: str) -> str:
    return orjson.dumps(text).decode().replace("%", "%%")


def type_name(value: object) -> str:
    """What JSON calls a parsed value: ``an array``."""
    return _TYPE_NAMES.get(type(value), "a number")


def _reject(reason: Reason, message: str) -> NoReturn:
    raise RecordError(reason, Stage.DECODE, message)
