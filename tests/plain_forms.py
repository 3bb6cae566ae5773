"""What `plain_sentences` can make: a regular expression for each of its patterns, over texts without their marks."""

from __future__ import annotations

import re
from collections.abc import Iterable

from worker.modelkit.train import plain_words as words
from worker.modelkit.train.plain_patterns import PATTERNS
from worker.modelkit.train.plain_words import Subject

_SLOT = re.compile(r"\{(\w+)\}")
_CHOICE = re.compile(r"\(([^()]*)\)")
_BY_LABEL = re.compile(r"<([^<>]*)>")
_FIRST = 0x10_0000


def bare(text: str) -> str:
    """`text` in small letters and without spaces, punctuation and variation selectors; "an" is "a"."""
    return re.sub(r"[\s.,!?;:'\"\ufe0f-]", "", re.sub(r"\ban\b", "a", text.lower()))


def forms() -> dict[str, list[re.Pattern[str]]]:
    """By the pattern, what `bare` makes of its sentences: for each subject and label one expression."""
    patterns = [line for _, text in PATTERNS.values() for line in text.splitlines() if line]
    return {
        pattern: [
            re.compile(_expression(pattern[2:], _slots(subject, good), good))
            for subject in words.SUBJECTS.values()
            for good in (True, False)
            if pattern[0] in ("+=" if good else "-=")
        ]
        for pattern in patterns
    }


def _expression(pattern: str, slots: dict[str, str], good: bool) -> str:
    """The regular expression of one pattern; what is done with is a character of its own until the end."""
    done: list[str] = []

    def keep(options: Iterable[str]) -> str:
        done.append(_one_of(options))
        return chr(_FIRST + len(done) - 1)

    def expression(text: str) -> str:
        return "".join(done[ord(mark) - _FIRST] if ord(mark) >= _FIRST else re.escape(mark) for mark in bare(text))

    def for_label(pairs: str) -> Iterable[str]:
        return (expression(pair.split("~")[0 if good else 1]) for pair in pairs.split("|"))

    text = _SLOT.sub(lambda match: keep([slots[match[1]]]), pattern)
    while _CHOICE.search(text):
        text = _CHOICE.sub(lambda match: keep(map(expression, match[1].split("|"))), text)
    return expression(_BY_LABEL.sub(lambda match: keep(for_label(match[1])), text))


def _slots(subject: Subject, good: bool) -> dict[str, str]:
    """What each slot may become."""
    adjective, opposite = map(_list, (words.GOOD, words.BAD) if good else (words.BAD, words.GOOD))
    better, worse = map(_list, (words.BETTER, words.WORSE) if good else (words.WORSE, words.BETTER))
    idioms = [(*subject.praise, *words.GLAD), (*subject.blame, *words.SORRY)]
    verbs = [words.LIKED, words.HATED]
    very = _list((*words.VERY, "truly"))
    name = _one_of([f"the{_list(subject.sides)}", f"(?:the|this|that){_list(subject.things)}"])
    clauses = [
        _one_of([_list(idioms[way]), f"i{_list(verbs[way])}{name}", f"{name}(?:is|was|looks|seemed){very}?{said}"])
        for way, said in ((0, _list(words.GOOD)), (1, _list(words.BAD)))
    ]
    faces = [_list(bare(face) for face in faces) for faces in (words.HAPPY_EMOJI, words.SAD_EMOJI)]
    points, stars = (
        ("(?:[4-9]|10)", "(?:[1-5]|one|two|three|four|five)") if good else ("[0-4]", "(?:[0-2]|zero|one|two)")
    )
    this, that = (0, 1) if good else (1, 0)
    return {
        "good": _list(words.GOOD), "bad": _list(words.BAD), "better": _list(words.BETTER), "worse": _list(words.WORSE),
        "very": very, "too": _list((*words.TOO_MUCH, "truly")), "like": _list(words.LIKE), "hate": _list(words.HATE),
        "cheer": _list(words.CHEERS), "other": _list(words.OTHERS), "thing": _list(subject.things),
        "side": _list(subject.sides), "after": _list(subject.after),
        "trouble": _list((*words.MISFORTUNES, *subject.blame)),
        "name": name, "adj": adjective, "unadj": opposite, "more": better, "less": worse,
        "said": clauses[this], "unsaid": clauses[that], "idiom": _list(idioms[this]),
        "mark": f"{points}(?:/|outof)(?:5|10)", "stars": f"(?:{stars}stars?|★*☆*|⭐+)",
        "face": f"{faces[this]}+", "faces": rf"(?!(.)\1+$){faces[this]}{{2,4}}",
        "foreign": "[\u0400-\u06ff\u0900-\u097f\u4e00-\ud7ff]+(?:2|ok)?",
    }  # fmt: skip


def _list(options: Iterable[str]) -> str:
    return _one_of(re.escape(bare(option)) for option in options)


def _one_of(options: Iterable[str]) -> str:
    return f"(?:{'|'.join(options)})"
