"""Plain short sentences with a label, made from words and patterns: the English that film reviews teach too little of.

Negation, double negation, contrast, understatement, comparison, irony that shows, marks out of ten, stars and emoji, about
films, products, hotels, food and apps. A target is a probability of ``pos``; 0.5 says that a text tells nothing.
"""

from __future__ import annotations

import random
import re
from dataclasses import dataclass

from worker.modelkit.train.plain_patterns import PATTERNS
from worker.modelkit.train.plain_words import (
    BAD,
    BETTER,
    CHEERS,
    GLAD,
    GOOD,
    HAPPY_EMOJI,
    HATE,
    HATED,
    LIKE,
    LIKED,
    MISFORTUNES,
    OTHERS,
    SAD_EMOJI,
    SORRY,
    STRONG,
    SUBJECTS,
    TOO_MUCH,
    VERY,
    WORSE,
    Subject,
)

POSITIVE, NEGATIVE, NEITHER = 0.97, 0.03, 0.5
"""Targets: sure, but no surer than a reader is."""

_CHOICE = re.compile(r"\(([^()<>{}]*)\)")
_BY_LABEL = re.compile(r"<([^<>(){}~]*)~([^<>(){}~]*)(?:\|([^<>(){}]*))?>")
_SLOT = re.compile(r"\{(\w+)\}")
_ARTICLE = re.compile(r"\ba (?!use|uni|one\b)(?=[aeiou])")
_TOO_WEAK = re.compile(
    rf"\b(?:very|extremely|incredibly|particularly|pretty|quite|terribly) (?=(?:{'|'.join(STRONG)})\b)"
)
"""Words that do not go with an adjective that says the most already."""
_NUMBERS = ("zero", "one", "two", "three", "four", "five")
_FOREIGN = ((0x4E00, 0x9FA5), (0x430, 0x44F), (0x627, 0x64A), (0xAC00, 0xD7A3), (0x915, 0x939))
"""First and last letter of scripts that the vocabulary does not have."""


@dataclass(frozen=True)
class PlainSentence:
    """A text and the probability of ``pos`` that it should get."""

    text: str
    target: float


def plain_sentences(count: int, *, seed: int) -> list[PlainSentence]:
    """`count` sentences, all different, in random order; the same for the same `seed`."""
    generator = random.Random(seed)
    kinds = {kind: [line for line in text.splitlines() if line] for kind, (_, text) in PATTERNS.items()}
    weights = [weight for weight, _ in PATTERNS.values()]
    made: dict[str, float] = {}
    while len(made) < count:
        (kind,) = generator.choices(list(kinds), weights)
        pattern = generator.choice(kinds[kind])
        good = pattern[0] == "+" or (pattern[0] == "=" and generator.random() < 0.5)
        text = _Sentence(generator, generator.choice(tuple(SUBJECTS.values())), good).write(pattern[2:])
        made.setdefault(text, NEITHER if kind == "unreadable" else POSITIVE if good else NEGATIVE)
    return [PlainSentence(text, target) for text, target in made.items()]


class _Sentence:
    """One sentence in the making: about one subject, favourable or not."""

    def __init__(self, generator: random.Random, subject: Subject, good: bool) -> None:
        self._random = generator
        self._subject = subject
        self._good = good

    def write(self, pattern: str) -> str:
        text = pattern
        while True:
            if _SLOT.search(text):
                text = _SLOT.sub(lambda match: self._slot(match[1]), text)
            elif _CHOICE.search(text):
                text = _CHOICE.sub(lambda match: self._random.choice(match[1].split("|")), text)
            elif _BY_LABEL.search(text):
                text = _BY_LABEL.sub(self._by_label, text)
            else:
                break
        return self._punctuated(text)

    def _by_label(self, match: re.Match[str]) -> str:
        pairs = [pair.split("~") for pair in match[0][1:-1].split("|")]
        return self._random.choice(pairs)[0 if self._good else 1]

    def _slot(self, name: str) -> str:
        fixed = {"good": GOOD, "bad": BAD, "better": BETTER, "worse": WORSE, "very": VERY, "too": TOO_MUCH, "like": LIKE,
                 "hate": HATE, "cheer": CHEERS, "other": OTHERS, "thing": self._subject.things, "side": self._subject.sides,
                 "after": self._subject.after, "trouble": (*MISFORTUNES, *self._subject.blame)}  # fmt: skip
        if name in fixed:
            return self._one(fixed[name])
        makers = {
            "name": self._name,
            "adj": lambda: self._adjective(self._good),
            "unadj": lambda: self._one(BAD if self._good else GOOD),
            "more": lambda: self._one(BETTER if self._good else WORSE),
            "less": lambda: self._one(WORSE if self._good else BETTER),
            "said": lambda: self._clause(self._good),
            "unsaid": lambda: self._clause(not self._good),
            "idiom": lambda: self._idiom(self._good),
            "mark": self._mark,
            "stars": self._stars,
            "face": self._faces,
            "faces": self._different_faces,
            "foreign": self._foreign,
        }
        return makers[name]()

    def _one(self, options: tuple[str, ...]) -> str:
        return self._random.choice(options)

    def _chance(self, share: float) -> bool:
        return self._random.random() < share

    def _name(self) -> str:
        """What is judged: the thing or a side of it."""
        if self._chance(0.5):
            return f"the {self._one(self._subject.sides)}"
        return f"{self._one(('the', 'this', 'this', 'that'))} {self._one(self._subject.things)}"

    def _adjective(self, good: bool) -> str:
        return self._one(GOOD if good else BAD)

    def _idiom(self, good: bool) -> str:
        return self._one((*self._subject.praise, *GLAD) if good else (*self._subject.blame, *SORRY))

    def _clause(self, good: bool) -> str:
        kind = self._random.choices(("adjective", "idiom", "verb"), (5, 4, 2))[0]
        if kind == "idiom":
            return self._idiom(good)
        if kind == "verb":
            return f"I {self._one(LIKED if good else HATED)} {self._name()}"
        very = f"{self._one(VERY)} " if self._chance(0.4) else ""
        return f"{self._name()} {self._one(('is', 'was', 'was', 'looks', 'seemed'))} {very}{self._adjective(good)}"

    def _mark(self) -> str:
        most = self._random.choice((5, 10))
        mark = self._points(most)
        return f"{mark}{self._one((f'/{most}', f' out of {most}'))}"

    def _stars(self) -> str:
        mark = self._points(5)
        words = f"{self._one((str(mark), _NUMBERS[mark]))} star{'' if mark == 1 else 's'}"
        return self._one((words, words, "★" * mark + "☆" * (5 - mark), "⭐" * mark)) if mark else words

    def _points(self, most: int) -> int:
        return round(most * (self._random.uniform(0.8, 1) if self._good else self._random.uniform(0, 0.4)))

    def _faces(self) -> str:
        faces = [self._one(HAPPY_EMOJI if self._good else SAD_EMOJI) for _ in range(self._random.choice((1, 1, 2, 3)))]
        text = "".join(faces) if self._chance(0.7) else faces[0] * self._random.choice((2, 3, 4))
        return text.replace("❤", "❤\N{VARIATION SELECTOR-16}") if self._chance(0.3) else text

    def _different_faces(self) -> str:
        faces = HAPPY_EMOJI if self._good else SAD_EMOJI
        return self._one(("", " ")).join(self._random.sample(faces, self._random.randint(2, 4)))

    def _foreign(self) -> str:
        first, last = self._random.choice(_FOREIGN)
        words = (
            "".join(chr(self._random.randint(first, last)) for _ in range(self._random.randint(2, 8)))
            for _ in range(self._random.randint(1, 8))
        )
        return " ".join(words) + self._one(("", "", " 2", " ok"))

    def _punctuated(self, text: str) -> str:
        """With the right article, and mostly a capital letter and an end."""
        text = _ARTICLE.sub("an ", _TOO_WEAK.sub("truly ", text))
        if self._chance(0.9):
            text = text[:1].upper() + text[1:]
        if text[-1].isalnum() and self._chance(0.9):
            text += self._random.choices((".", "!", "!!", "..."), (10, 3, 1, 1))[0]
        return text
