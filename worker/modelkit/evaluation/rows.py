"""What every reader of labelled reviews gives: rows, one after the other, and how far it has come."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from worker.errors import UsageError

MAX_ROW_BYTES = 16 * 1024 * 1024
"""A line or a field larger than this is no review: more likely a quote that is never closed. Bounds the memory."""

_MOST_NAMES = 20
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True)
class Columns:
    """Where a row keeps its text and its label; in JSON, dots lead into nested objects (``review.body``).

    Raises `UsageError` where both are the same.
    """

    text: str = "text"
    label: str | None = "label"
    """None where nobody asks for labels: rows then have none, and the file need not have them."""

    def __post_init__(self) -> None:
        if self.text == self.label:
            raise UsageError(f"--text-field and --label-field both name {self.text!r}")


@dataclass(frozen=True, slots=True)
class NoLabel:
    """Stands where a label should be; `why` says what is there instead."""

    why: str


NOT_ASKED_FOR = NoLabel("labels are not read")


@dataclass(frozen=True, slots=True)
class Row:
    """One labelled review as it was read."""

    place: str
    """For messages: ``line 3``, ``row 2 (line 3)``."""
    text: str
    label: object
    """As the file spells it: text, number, true or false; or `NoLabel`."""


@dataclass(frozen=True)
class RowSource:
    """An open file of labelled reviews. `rows` is read lazily and once.

    It raises `UsageError` for the first row that cannot be read, with its place.
    """

    path: Path
    rows: Iterator[Row]
    share_read: Callable[[], float]
    """How much of the file was read so far, 0 to 1."""


def row_error(path: Path, place: str, fault: str) -> UsageError:
    """The one line about a row that cannot be used; `fault` never quotes a review."""
    return UsageError(f"{path}, {place}: {fault}")


def names_there(names: Iterable[str], kind: str) -> str:
    """``the columns there are: a, b``, for a message about a missing one."""
    known = list(names)
    more = f" and {len(known) - _MOST_NAMES} more" if len(known) > _MOST_NAMES else ""
    return f"the {kind} there are: {', '.join(known[:_MOST_NAMES]) or 'none'}{more}"


def clean_text(text: str) -> str:
    """`text` with lone surrogates, which JSON escapes can spell and which are no text, as the worker reads them."""
    return text if text.isascii() else _LONE_SURROGATE.sub("\N{REPLACEMENT CHARACTER}", text)
