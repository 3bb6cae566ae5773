"""Hypothesis strategies that several tests share."""

from __future__ import annotations

import json
import unicodedata
from dataclasses import dataclass

from hypothesis import strategies as st

INVISIBLE_CATEGORIES = ("Cc", "Cf", "Zs", "Zl", "Zp", "Mn", "Mc", "Me")
INVISIBLE_NAMES = ("HANGUL FILLER", "CHOSEONG FILLER", "JUNGSEONG FILLER", "BRAILLE PATTERN BLANK", "NULL NOTEHEAD")
IGNORABLE = (range(0x2065, 0x2066), range(0xFFF0, 0xFFF9), range(0xE0000, 0xE1000))
"""Not assigned, and to be shown as nothing: Default_Ignorable_Code_Point of Unicode's DerivedCoreProperties."""


def is_invisible(character: str) -> bool:
    """Whether nothing is to be seen of a character that stands alone."""
    return (
        unicodedata.category(character) in INVISIBLE_CATEGORIES
        or unicodedata.name(character, "").endswith(INVISIBLE_NAMES)
        or any(ord(character) in each for each in IGNORABLE)
    )


def invisible_texts() -> st.SearchStrategy[str]:
    """Texts with nothing to see in them."""
    others = "\u115f\u1160\u2065\u2800\u3164\uffa0\ufff0\U0001d159\U000e0fff"
    return st.text(st.characters(categories=INVISIBLE_CATEGORIES) | st.sampled_from(others), max_size=20)


@dataclass(frozen=True)
class RawMember:
    """A member of a JSON object, spelled out: white space, name, colon with white space, value, white space."""

    before: bytes
    name: bytes
    colon: bytes
    value: bytes
    after: bytes

    @property
    def spelled(self) -> bytes:
        return self.before + self.name + self.colon + self.value + self.after


@dataclass(frozen=True)
class RawObject:
    """A JSON object, spelled out, with white space around it."""

    lead: bytes
    members: tuple[RawMember, ...]
    trail: bytes

    @property
    def spelled(self) -> bytes:
        return self.lead + b"{" + b",".join(member.spelled for member in self.members) + b"}" + self.trail


_SPACE = st.sampled_from([b"", b"", b"", b" ", b"\n", b"\t \r\n"])
_NUMBER = st.from_regex(r"-?(0|[1-9][0-9]{0,40})(\.[0-9]{1,30})?([eE][+-]?[0-9]{1,4})?", fullmatch=True).map(str.encode)
_STRING_PART = st.one_of(
    st.characters(exclude_categories=["Cs"]).map(lambda character: json.dumps(character, ensure_ascii=False)[1:-1]),
    st.sampled_from(['\\"', "\\\\", "\\/", "\\n", "{", "}", "[", "]", ",", ":", "sentiment", '\\"sentiment\\":1']),
    st.integers(0, 0xFFFF).map(lambda code: f"\\u{code:04x}"),  # lone surrogates too
)


def raw_strings() -> st.SearchStrategy[bytes]:
    """JSON strings in any spelling, quotes included."""
    return st.lists(_STRING_PART, max_size=6).map(lambda parts: ('"' + "".join(parts) + '"').encode())


def _raw_array(items: list[bytes]) -> bytes:
    return b"[ " + b" ,".join(items) + b"]"


def raw_values() -> st.SearchStrategy[bytes]:
    """JSON values in any spelling: large numbers, odd floats, duplicate names, nesting."""
    scalars = st.one_of(st.sampled_from([b"true", b"false", b"null", b"{}", b"[ ]"]), _NUMBER, raw_strings())
    return st.recursive(
        scalars,
        lambda inner: st.one_of(
            st.lists(inner, min_size=1, max_size=3).map(_raw_array),
            st.lists(_raw_members(_names(), inner), min_size=1, max_size=3).map(
                lambda members: RawObject(b"", tuple(members), b"").spelled
            ),
        ),
        max_leaves=6,
    )


def _names() -> st.SearchStrategy[bytes]:
    return st.one_of(raw_strings(), st.sampled_from([b'"a"', b'"text"', b'"sentiment"']))


def _raw_members(names: st.SearchStrategy[bytes], values: st.SearchStrategy[bytes]) -> st.SearchStrategy[RawMember]:
    colons = st.sampled_from([b":", b":", b" : ", b"\n:\t"])
    return st.builds(RawMember, _SPACE, names, colons, values, _SPACE)


@st.composite
def raw_events(draw: st.DrawFn) -> RawObject:
    """Events that a worker with the default settings accepts, results of earlier workers in them now and then."""
    others = _names().filter(lambda name: json.loads(name) not in ("text", "sentiment"))
    results = st.sampled_from([b'"sentiment"', b'"sent\\u0069ment"'])
    members = draw(st.lists(_raw_members(others, raw_values()), max_size=5))
    members += draw(st.lists(_raw_members(results, raw_values()), max_size=3))
    visible = raw_strings().map(lambda string: string[:-1] + b'x"')
    texts = _raw_members(st.sampled_from([b'"text"', b'"\\u0074ext"']), visible)
    members += draw(st.lists(texts, min_size=1, max_size=2))
    return RawObject(draw(_SPACE), tuple(draw(st.permutations(members))), draw(_SPACE))
