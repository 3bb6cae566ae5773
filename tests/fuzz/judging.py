"""What may come of an event, by the standard library alone, and whether what came is the event and nothing else."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NoReturn

from raw_headers import carried
from strategies import is_invisible

from tests.fuzz.mutations import MAX_EVENT_BYTES, RESULT_FIELD, FuzzEvent
from worker.delivery.dead_letters import REASON_HEADER
from worker.errors import Reason

CLASSIFIED = "classified"
TOMBSTONE = "tombstone"
MAX_DEPTH = 1024
_RESULT = re.compile(rb'"sentiment":')
_decoder = json.JSONDecoder()

sys.setrecursionlimit(max(sys.getrecursionlimit(), 10_000))  # events may be as deep as the worker takes them

Headers = Sequence[tuple[str, bytes | None]]


@dataclass(frozen=True)
class Published:
    """What came of an event: a record of the output topic, or one of the dead-letter topic."""

    is_dead_letter: bool
    key: bytes | None
    value: bytes | None
    headers: Headers
    timestamp_ms: int

    @property
    def outcome(self) -> str:
        """`CLASSIFIED`, `TOMBSTONE` or the reason of the dead letter."""
        if self.is_dead_letter:
            return (dict(self.headers)[REASON_HEADER] or b"").decode()
        return TOMBSTONE if self.value is None else CLASSIFIED


def faults(event: FuzzEvent, path: str, published: Published) -> list[str]:
    """What is wrong with what came of `event`, where ``text_field`` is `path`; empty when nothing is."""
    outcome, may_be = published.outcome, allowed(event.value, path)
    wrong = []
    if outcome not in may_be:
        wrong.append(f"it is {outcome} and not {' or '.join(sorted(may_be))}")
    if published.key != event.key:
        wrong.append("its key differs")
    if tuple(published.headers)[: len(event.headers)] != carried(event.headers):
        wrong.append("its headers differ")
    if event.timestamp_ms is not None and published.timestamp_ms != event.timestamp_ms:
        wrong.append("its timestamp differs")
    if outcome == CLASSIFIED and event.value is not None and published.value is not None:
        if not is_extended(event.value, published.value):
            wrong.append("its output is not the event and a result")
    elif published.value != event.value:
        wrong.append("its bytes differ")
    return [f"{event.kind}, {(event.value or b'')[:200]!r}: {each}" for each in wrong]


def allowed(value: bytes | None, path: str) -> set[str]:
    """`CLASSIFIED`, `TOMBSTONE` or a reason; several where a limit is not exact."""
    if value is None:
        return {TOMBSTONE}
    if len(value) > MAX_EVENT_BYTES:
        return {Reason.EVENT_TOO_LARGE}
    decision = _decision(value, path)
    if decision != CLASSIFIED:
        return {decision}
    outcomes = {CLASSIFIED}
    if len(value) > MAX_EVENT_BYTES - 10_000:
        outcomes.add(Reason.OUTPUT_TOO_LARGE)
    return outcomes


def _decision(value: bytes, path: str) -> str:
    try:
        document = value.decode()
    except UnicodeDecodeError:
        return Reason.NOT_UTF8
    if value.count(b"[") + value.count(b"{") > MAX_DEPTH and depth(value) > MAX_DEPTH:
        return Reason.NOT_JSON
    try:
        node = json.loads(document, parse_int=float, parse_constant=_refuse)
    except ValueError:
        return Reason.NOT_JSON
    if type(node) is not dict:
        return Reason.NOT_OBJECT
    for name in path.split("."):
        if type(node) is not dict or name not in node:
            return Reason.TEXT_MISSING
        node = node[name]
    if type(node) is not str:
        return Reason.TEXT_NOT_STRING
    return Reason.TEXT_BLANK if all(map(is_invisible, node)) else CLASSIFIED


def depth(value: bytes) -> int:
    """How deep brackets outside strings are nested."""
    deepest = level = 0
    in_string = escaped = False
    for byte in value:
        if in_string:
            in_string = escaped or byte != 0x22
            escaped = byte == 0x5C and not escaped
        elif byte == 0x22:
            in_string, escaped = True, False
        elif byte in b"[{":
            level += 1
            deepest = max(deepest, level)
        elif byte in b"]}":
            level -= 1
    return deepest


def is_extended(value: bytes, output: bytes) -> bool:
    """Whether `output` is `value` with the result as one more member, or in the place of those that it had."""
    return any(_is_extended(value, output, *found) for found in _results(output))


def _is_extended(value: bytes, output: bytes, start: int, end: int) -> bool:
    before, after = output[:start], output[end:]
    if value == before.removesuffix(b",") + after and before.endswith(b","):
        return b'"sentiment"' not in value or _names(value).count(RESULT_FIELD) == 0
    # It stood there before: what is around it is untouched, apart from repeats of it that were taken out behind.
    if not value.startswith(before):
        return False
    kept = [pair for pair in _pairs(value) if pair[0] != RESULT_FIELD]
    if len(kept) == len(_names(value)):
        return False
    repeated = _names(value).count(RESULT_FIELD) > 1
    return (repeated or value.endswith(after)) and [pair for pair in _pairs(output) if pair[0] != RESULT_FIELD] == kept


def _results(output: bytes) -> Iterator[tuple[int, int]]:
    """Where members named as the result begin and end that look like one of ours."""
    for found in _RESULT.finditer(output):
        if output[found.end() : found.end() + 10] != b'{"label":"':
            continue
        text = output[found.end() : found.end() + 1000].decode("utf-8", "replace")
        result, length = _decoder.raw_decode(text)
        if {"label", "score", "scores", "model", "tokens", "truncated", "unknown", "classified_at"} <= set(result):
            yield found.start(), found.end() + len(text[:length].encode())


def _pairs(value: bytes) -> list[tuple[str, object]]:
    pairs: list[tuple[str, object]] = json.loads(value, object_pairs_hook=list, parse_int=str, parse_float=str)
    return pairs


def _names(value: bytes) -> list[str]:
    return [name for name, _ in _pairs(value)]


def _refuse(constant: str) -> NoReturn:
    raise ValueError(constant)
