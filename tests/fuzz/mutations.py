"""Seeded, mutated events: each is a function of a seed and its number, so that whoever judges can make it again."""

from __future__ import annotations

import gzip
import json
import random
from collections.abc import Callable
from dataclasses import dataclass

from tests.fuzz import texts

RESULT_FIELD = "sentiment"
MAX_EVENT_BYTES = 1_000_000
HUGE_BYTES = 10_000_000

NOT_UTF8 = (
    *(b"\x80", b"\xbf\xbf", b"\xc0\xaf", b"\xc1\xbf", b"\xc3", b"\xe2\x82", b"\xf0\x9f\x98", b"\xe0\x80\xaf", b"\xff"),
    *(b"\xed\xa0\x80", b"\xed\xbf\xbf", b"\xed\xa0\xbd\xed\xb8\x80", b"\xf4\x90\x80\x80", b"\xf8\x88\x80\x80\x80"),
    *(b"\xf0\x80\x80\xaf", b"\xfe\xff", b"\xfc\x84\x80\x80\x80\x80", b"caf\xe9"),
)
SURROGATES = ("\\ud800", "\\udfff", "\\udc00\\ud800", "\\ud83d\\ude00", "\\uD800\\u0041", "\\ud800\\ud800\\udc00")
NUMBERS = (
    *("0", "-0", "1e400", "-1E+999", "1e-999", "9007199254740993", "18446744073709551616", "1.0000000000000000000001"),
    *("1" + "0" * 400, "-" + "9" * 5000, "0." + "0" * 400 + "1", "1e" + "9" * 100, "3.14159e0000001", "123456789e-7"),
)
NO_NUMBERS = ("NaN", "Infinity", "-Infinity", "01", "+1", ".5", "1.", "0x1F", "1e", "--1", "1_000", "\u0661", "nan")
DEPTHS = (2, 10, 100, 500, 880, 1000, 1022, 1023, 1024, 1025, 1100, 5000, 50_000)
FRAGMENTS = (
    b"{",
    b"}",
    b"[",
    b"]",
    b",",
    b":",
    b'"',
    b"\\",
    b"null",
    b"1e999",
    b" ",
    b"\xff",
    b"NaN",
    b'"text"',
    b"\0",
)
ODD_VALUES = (
    *("null", "true", "[]", "{}", '""', "0", '"pos"', '{"label":"pos"}', '"}"', '"\\"}"', '[{"sentiment":1},"}"]'),
    *('{"sentiment":{"sentiment":[]}}', '"\\\\"', "-1.50E+2", '"\\ud800"', "[ 1 , 2 ]", '{"a" : "]}{["}'),
)


@dataclass(frozen=True)
class FuzzEvent:
    """One event to produce."""

    kind: str
    value: bytes | None
    key: bytes | None
    headers: tuple[tuple[str, bytes | None], ...]
    """A byte of a name that is not UTF-8 is a surrogate, as ``surrogateescape`` writes it."""
    timestamp_ms: int | None


class Fuzzer:
    """Makes events for a worker whose ``text_field`` is `path`; one in `huge_every` is huge."""

    def __init__(self, seed: int, path: str = "text", *, huge_every: int = 0) -> None:
        self._seed = seed
        self._huge_every = huge_every
        self._names = path.split(".")
        self._kinds = tuple(KINDS.items())

    def event(self, number: int) -> FuzzEvent:
        """The event of this number."""
        source = random.Random(f"{self._seed}/{number}")
        if self._huge_every and number % self._huge_every == self._huge_every // 2:
            kind, value = "huge", _huge(source, number // self._huge_every, self._names)
        else:
            kind, make = source.choice(self._kinds)
            value = make(source, self._names)
        return FuzzEvent(kind, value, _key(source), _headers(source), source.choice((None, None, None, 0, 1, 10**12)))


# --- spelling -------------------------------------------------------------------------------------------------------


def _string(source: random.Random, text: str) -> str:
    return json.dumps(text, ensure_ascii=source.random() < 0.3)


def _space(source: random.Random) -> str:
    return source.choice(("", "", "", " ", "\n", "\t \r\n"))


def _spell(source: random.Random, names: list[str], value: str, *others: str) -> bytes:
    """An event with this JSON as the value of the text field, between `others`, which are spelled-out members."""
    for name in reversed(names[1:]):
        value = f"{{{_space(source)}{_string(source, name)}:{value}}}"
    members = [*others, f"{_string(source, names[0])}{_space(source)}:{_space(source)}{value}"]
    source.shuffle(members)
    comma = "," + _space(source)
    text = f"{_space(source)}{{{_space(source)}{comma.join(members)}{_space(source)}}}{_space(source)}"
    return text.encode("utf-8", "surrogatepass")


def _other(source: random.Random) -> str:
    name = source.choice(("review_id", "stars", "a.b", "", "x", "sentiment ", "Sentiment", "te\\u0078t2", "\\u0000"))
    value = source.choice((*ODD_VALUES, *NUMBERS[:8], _string(source, texts.text(source))))
    return f'"{name}"{_space(source)}:{value}'


def _valid(source: random.Random, names: list[str]) -> bytes:
    others = [_other(source) for _ in range(source.randrange(4))]
    return _spell(source, names, _string(source, texts.text(source)), *others)


# --- kinds ----------------------------------------------------------------------------------------------------------


def _bytes_changed(source: random.Random, names: list[str]) -> bytes:
    value = bytearray(_valid(source, names))
    for _ in range(source.randint(1, 6)):
        start = source.randrange(len(value) + 1)
        match source.randrange(5):
            case 0:
                value[start : start + 1] = bytes([source.randrange(256)])
            case 1:
                value[start:start] = source.choice(FRAGMENTS)
            case 2:
                del value[start : start + source.randint(1, 8)]
            case 3:
                value[start:start] = value[start : start + source.randint(1, 30)]
            case 4:
                value[start : start + 1] = bytes(byte ^ (1 << source.randrange(8)) for byte in value[start : start + 1])
    return bytes(value)


def _cut(source: random.Random, names: list[str]) -> bytes:
    value = _valid(source, names)
    return value[: source.randrange(len(value))]


def _not_utf8(source: random.Random, names: list[str]) -> bytes:
    value = _valid(source, names)
    place = source.randrange(len(value) + 1)
    return value[:place] + source.choice(NOT_UTF8) + value[place:]


def _other_encoding(source: random.Random, names: list[str]) -> bytes:
    value = _valid(source, names)
    if source.random() < 0.2:
        return gzip.compress(value, mtime=0)
    codec = source.choice(("utf-16", "utf-16-le", "utf-16-be", "utf-32", "latin-1", "cp1252", "utf-8-sig", "utf-7"))
    return value.decode("utf-8", "replace").encode(codec, "replace")


def _deep(source: random.Random, names: list[str]) -> bytes:
    depth = source.choice(DEPTHS[:-1]) if source.random() < 0.98 else DEPTHS[-1]
    opening, closing = source.choice((("[", "]"), ('{"a":', "}"), ('[{"text":', "}]"), ('{"sentiment":[', "]}")))
    depth //= opening.count("[") + opening.count("{")
    nested = opening * depth + "1" + closing * (depth if source.random() < 0.9 else depth - 1)
    text = _string(source, texts.words(source, 3))
    number = f'"n":{source.choice(NUMBERS)}'
    match source.randrange(5):
        case 0:
            return nested.encode()
        case 1:
            return _spell(source, names, nested)
        case 2:
            return _spell(source, names, text, f'"{RESULT_FIELD}":{nested}')
        case 3:
            return _spell(source, names, text, f'"other":{nested}', number)
        case _:
            return _spell(source, names, text, f'"other":{nested}')


def _nul(source: random.Random, names: list[str]) -> bytes:
    value = _valid(source, names)
    place = source.choice((0, len(value), source.randrange(len(value))))
    return source.choice((value[:place] + b"\0" + value[place:], b"\0\0\0\0\7" + value, b"\0" * source.randint(1, 99)))


def _surrogates(source: random.Random, names: list[str]) -> bytes:
    escape = source.choice(SURROGATES)
    text = f'"{source.choice(("", "good ", " "))}{escape * source.randint(1, 3)}{source.choice(("", " film"))}"'
    if source.random() < 0.3:
        text = '"good \ud800"'  # raw, which is no UTF-8
    return _spell(source, names, text, *([f'"{escape}":"{escape}"'] if source.random() < 0.5 else []))


def _numbers(source: random.Random, names: list[str]) -> bytes:
    number = source.choice(NUMBERS if source.random() < 0.6 else NO_NUMBERS)
    place = source.choice(("{}", "[{}]", '{{"a":{}}}', "[1,{} ]"))
    member = f'"{source.choice(("n", RESULT_FIELD, "id"))}":{place.format(number)}'
    return _spell(source, names, _string(source, texts.words(source, 4)), member)


def _repeated(source: random.Random, names: list[str]) -> bytes:
    text = json.dumps(names[0])
    values = [_string(source, texts.text(source)), *source.choices(ODD_VALUES, k=2)]
    results = [
        f'"{name}":{source.choice(ODD_VALUES)}' for name in source.choices((RESULT_FIELD, "sent\\u0069ment"), k=3)
    ]
    return _spell(source, names, values[0], f"{text}:{source.choice(values)}", *results[: source.randrange(4)])


def _with_result(source: random.Random, names: list[str]) -> bytes:
    name = source.choice((RESULT_FIELD, RESULT_FIELD, "sent\\u0069ment"))
    member = f'"{name}"{_space(source)}:{_space(source)}{source.choice(ODD_VALUES)}'
    others = [_other(source) for _ in range(source.randrange(3))]
    return _spell(source, names, _string(source, texts.text(source)), member, *others)


def _no_text(source: random.Random, names: list[str]) -> bytes:
    if source.random() < 0.4:
        return _spell(source, [source.choice(("Text", "text ", "", "tex", "body"))], '"good"')
    if len(names) > 1 and source.random() < 0.5:
        return _spell(source, names[:-1], source.choice(ODD_VALUES))
    return _spell(source, names, source.choice(ODD_VALUES))


def _blank(source: random.Random, names: list[str]) -> bytes:
    return _spell(source, names, _string(source, "".join(source.choices(texts.BLANKS, k=source.randrange(50)))))


def _no_object(source: random.Random, _: list[str]) -> bytes:
    return source.choice(
        (
            b"",
            b" \n",
            b"null",
            b"true",
            b"1",
            b'"text"',
            b"[]",
            b'[{"text":"good"}]',
            b"{}",
            b"{ }",
            b"-",
            b"[1,",
            b"\xef\xbb\xbf",
        )
    )


def _nearly_json(source: random.Random, names: list[str]) -> bytes:
    value = _valid(source, names)
    return source.choice(
        (
            *(value + b",", value + value, value + b"\n" + value, b"// x\n" + value, value.replace(b'"', b"'")),
            *(value.rstrip()[:-1] + b",}", b"\xef\xbb\xbf" + value, value.replace(b":", b"="), b"(" + value + b")"),
        )
    )


def _fragments(source: random.Random, _: list[str]) -> bytes:
    return b"".join(source.choices(FRAGMENTS, k=source.randrange(40)))


def _noise(source: random.Random, _: list[str]) -> bytes:
    return source.randbytes(source.randrange(300))


def _odd_names(source: random.Random, names: list[str]) -> bytes:
    name = source.choice(("k" * 20_000, '\\"' * 200, "\u65e0" * 300, "a.b.c", "\\u0000", "{", "sentiment\\u0000"))
    return _spell(source, names, _string(source, texts.text(source)), f'"{name}":1', f'"{name}":{{"{name}":[]}}')


def _tombstone(_: random.Random, __: list[str]) -> None:
    return None


KINDS: dict[str, Callable[[random.Random, list[str]], bytes | None]] = {
    "valid": _valid,
    "bytes changed": _bytes_changed,
    "cut": _cut,
    "not UTF-8": _not_utf8,
    "another encoding": _other_encoding,
    "deep": _deep,
    "NUL": _nul,
    "surrogates": _surrogates,
    "numbers": _numbers,
    "repeated members": _repeated,
    "with a result": _with_result,
    "no text": _no_text,
    "blank": _blank,
    "no object": _no_object,
    "nearly JSON": _nearly_json,
    "fragments": _fragments,
    "noise": _noise,
    "odd names": _odd_names,
    "tombstone": _tombstone,
}


def _huge(source: random.Random, turn: int, names: list[str]) -> bytes:
    """Around the limit, far beyond it, and just below: a text as large as one can be."""
    if turn % 3 == 0:
        return _spell(source, names, _string(source, "a" * HUGE_BYTES))
    if turn % 3 == 1:
        value = _spell(source, names, '"good"')
        size = MAX_EVENT_BYTES + source.choice((-9000, -200, -1, 0, 1))
        return value + b" " * (size - len(value))
    return _spell(
        source, names, json.dumps(texts.LARGE_TEXTS[turn // 3 % len(texts.LARGE_TEXTS)](900_000), ensure_ascii=False)
    )


def _key(source: random.Random) -> bytes | None:
    chosen = source.random()
    if chosen < 0.02:
        return source.randbytes(10_000)
    return None if chosen < 0.2 else source.choice((b"", b"\0", b"key", "\u65e0".encode(), source.randbytes(8)))


def _headers(source: random.Random) -> tuple[tuple[str, bytes | None], ...]:
    chosen = source.random()
    if chosen < 0.8:
        return ()
    if chosen < 0.81:
        return tuple((f"h{number}", b"v") for number in range(1000))
    names = ("", "a", "a", "source", "__streams.errors.offset", "reviews_worker.errors.reason", "\u65e0", "x" * 300)
    if source.random() < 0.3:
        names += tuple(name.decode("utf-8", "surrogateescape") for name in source.choices(NOT_UTF8, k=4))
    return tuple(
        (source.choice(names), source.choice((None, b"", b"v", b"\xff\0"))) for _ in range(source.randint(1, 5))
    )
