"""Texts that are easily got wrong, as Python strings; lone surrogates are left to the spelling (`spelling.py`)."""

from __future__ import annotations

import random
from collections.abc import Callable

WORDS = [
    *("a", "the", "film", "movie", "plot", "was", "is", "and", "but", "not", "never", "good", "bad", "great", "awful"),
    *("boring", "moving", "funny", "flat", "loved", "hated", "9,9", "10/10", "$3,500,000", "don't", "``well''"),
    *("[CLS]", "[SEP]", "[MASK]", "<pad>", "<unk>", "<PAD>", "<br", "/>", "Caf\u00e9", "\u0130stanbul", "\u03a3\u03a3"),
]
BLANKS = " \t\n\r\x0b\x0c\u00a0\u2003\u3000\u200b\u200e\u2060\ufeff\x00\x01\x1f\x7f\u2028\u2029"
COMBINING = "".join(chr(code) for code in range(0x300, 0x370)) + "\u0344\u05b0\u0f73\u0f81\u3099\uff9e"
RIGHT_TO_LEFT = "\u05e1\u05e8\u05d8\u0641\u064a\u0644\u0645\u202e\u202b\u2067\u061c"
EMOJI = ("\U0001f468\u200d\U0001f469\u200d\U0001f467", "\U0001f44d\U0001f3fd", "\U0001f1eb\U0001f1f7", "\u2764\ufe0f")
PRIVATE = "\ue000\uf8ff\U000f0000\U0010fffd"
NONCHARACTERS = "\ufdd0\ufdef\ufffe\uffff\U0001fffe\U0010ffff"
EXPANDING = "\ufdfa\u3300\u1f82\ufb03\u2167\u00bd\uac01"


def words(source: random.Random, count: int) -> str:
    """So many words."""
    return " ".join(source.choices(WORDS, k=count))


def _drawn(alphabet: str | tuple[str, ...], most: int) -> Callable[[random.Random], str]:
    return lambda source: "".join(source.choices(alphabet, k=source.randint(1, most)))


TEXTS: tuple[Callable[[random.Random], str], ...] = (
    lambda source: words(source, source.randint(1, 40)),
    lambda source: words(source, source.randint(500, 3000)),
    lambda source: "".join(chr(source.randrange(0x20, 0xD800)) for _ in range(source.randint(1, 60))),
    lambda source: "".join(chr(source.randrange(0x10000, 0x110000)) for _ in range(source.randint(1, 30))),
    lambda source: "e" + "".join(source.choices(COMBINING, k=source.randint(1, 400))),
    lambda source: source.choice("a9,.[<'`\u65e0\u200d") * source.randint(1, 3000),
    _drawn(BLANKS, 40),
    _drawn(COMBINING, 300),
    _drawn(RIGHT_TO_LEFT, 60),
    _drawn(EMOJI, 30),
    _drawn(PRIVATE, 40),
    _drawn(NONCHARACTERS, 40),
    _drawn(EXPANDING, 200),
    _drawn('"\\/{}[],:\x00\x08\x1f', 60),
    _drawn("0123456789,", 400),
)


def text(source: random.Random) -> str:
    """A text of any kind, mostly an ordinary one."""
    return words(source, source.randint(1, 40)) if source.random() < 0.5 else source.choice(TEXTS)(source)


LARGE_TEXTS: tuple[Callable[[int], str], ...] = (
    lambda size: "good film " * (size // 10),
    lambda size: "a" * size,
    lambda size: "e" + "\u0300\u0316" * (size // 4),
    lambda size: "\u0f73" * (size // 3) + "x",
    lambda size: "\ufdfa" * (size // 3),
    lambda size: "9," * (size // 2),
    lambda size: "\u65e0" * (size // 3),
    lambda size: "[CLS]" * (size // 5),
    lambda size: "\u200b" * (size // 3),
    lambda size: "\x01" * (size // 6),
)
"""Texts of about so many bytes once they are spelled."""
