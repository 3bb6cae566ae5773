"""Texts that are easily got wrong, to compare two models by where nobody has given any. Made up for this purpose."""

from __future__ import annotations

PRAISE = "A charming, funny and touching little gem; I was delighted from the first minute to the last."
BLAME = "Boring, predictable and badly shot: two hours of my life that I will never get back."

AWKWARD_TEXTS: tuple[str, ...] = (
    "I really liked that movie!",
    "The plot makes no sense and the acting is terrible.",
    PRAISE,
    BLAME,
    "Not bad at all; not exactly good either.",
    "I wanted to love it. I did not.",
    "GREAT FILM!!! 10/10, WOULD WATCH AGAIN",
    "meh",
    ".",
    "?!?!?!",
    "   leading and trailing white space   ",
    "tabs\tand\nnew\r\nlines and\u00a0no-break\u2003spaces",
    "A line.<br /><br />Another line after two breaks.<br />",
    "It cost $3,500,000 and 9,9 people saw it, in 1,000 places; 42,",
    "Caf\u00e9, na\u00efve, \u00dcber, \u0130stanbul, \u1e9eharp S, \u03a3\u03af\u03c3\u03c5\u03c6\u03bf\u03c2 \u03a3",
    "\u201cCurly quotes\u201d, ``backticks'' and 'straight' ones \u2014 and a dash \u2026",
    "\u65e0\u804a\u7684\u7535\u5f71\u3002 \u9762\u767d\u3044\u6620\u753b\u3067\u3057\u305f\u3002",
    "\u041e\u0447\u0435\u043d\u044c \u043f\u043b\u043e\u0445\u043e\u0439 \u0444\u0438\u043b\u044c\u043c",
    "\u05e1\u05e8\u05d8 \u05de\u05e2\u05d5\u05dc\u05d4 \u0641\u064a\u0644\u0645 \u0631\u0627\u0626\u0639",
    "Emoji \U0001f600\U0001f44d\U0001f3fd\u200d\U0001f4bb and a flag \U0001f1eb\U0001f1f7",
    "e\u0301 combining, \ufb01 ligature, \uff26\uff55\uff4c\uff4c width, \u00bd, \u2167",
    "zero\u200bwidth\u200djoiner\ufeff and a soft\u00adhyphen",
    "[CLS] special pieces in the text [SEP] <pad> <unk> [MASK] <PAD>",
    "supercalifragilisticexpialidocious" * 3,
    "a b c d e f g h i j k l m n o p q r s t u v w x y z",
    "no no no no no no no no no no no no no no no no",
    "http://example.org/a?b=c&d=%20 user@example.org #tag @name",
    '\\x00 \\u0041 {"json": [1, 2.50, null]} </script>',
    "Good acting. " * 20,
    f"{BLAME} " * 12,
    f"{PRAISE} " * 40,
    f"{BLAME} {PRAISE} " * 60,
)

GOLDEN_TEXTS = (*AWKWARD_TEXTS[:7], *AWKWARD_TEXTS[12:17], AWKWARD_TEXTS[22], AWKWARD_TEXTS[-1])
"""A few of them, one longer than any model reads: an artifact computes them each time it is loaded by a worker."""
