"""Dead letters in words: for a terminal, and as JSON."""

from __future__ import annotations

import base64
import shutil
from typing import Any

import click

from worker.cli.terminal import printable
from worker.events.codec import rfc3339_ms
from worker.records import NO_TIMESTAMP
from worker.replay.letters import DeadLetter

KEY_WIDTH = 24
COLUMNS = {"position": 8, "reason": 16, "stage": 8, "read at": 20, "time": 24, "key": 12, "size": 9}
"""Of a line for a terminal, with their usual widths."""
FOREIGN = "unknown"
"""Shown as the reason of a record that this worker has not written."""


def members(letter: DeadLetter, *, replayed: bool) -> dict[str, Any]:
    """A letter in a list: all but its value."""
    failure = letter.latest
    return {
        "position": letter.record.source,
        "reason": failure.reason if failure else None,
        "stage": failure.stage if failure else None,
        "message": failure.message if failure else None,
        "source": failure.source if failure else None,
        "time": time_of(letter),
        "key": text_or_base64(letter.record.key),
        "value_bytes": None if letter.record.value is None else len(letter.record.value),
        "hops": letter.hops,
        "failures": len(letter.failures),
        "replayed": replayed,
    }


def all_members(letter: DeadLetter) -> dict[str, Any]:
    """Everything about one letter; bytes that are not UTF-8 are ``{"base64": ...}``."""
    return {
        "position": letter.record.source,
        "time": time_of(letter),
        "key": text_or_base64(letter.record.key),
        "value": text_or_base64(letter.record.value),
        "headers": [[name, text_or_base64(value)] for name, value in letter.event_headers],
        "hops": letter.hops,
        "failures": [
            {
                "reason": failure.reason,
                "stage": failure.stage,
                "exception": failure.exception,
                "message": failure.message,
                "source": failure.source,
            }
            for failure in letter.failures
        ],
    }


def line(letter: DeadLetter, *, replayed: bool) -> str:
    """The same as `members` on a line for a terminal, with the first characters of the value."""
    failure, record = letter.latest, letter.record
    notes = [f"hops {letter.hops}"] if letter.hops else []
    notes += ["replayed"] if replayed else []
    parts = (
        f"{record.partition.partition}/{record.offset}",
        failure.reason if failure else FOREIGN,
        failure.stage if failure else "",
        failure.source if failure else "",
        time_of(letter) or "no time",
        shown(record.key, KEY_WIDTH),
        f"{len(record.value):,} B" if record.value is not None else "no value",
    )
    cells = [f"{printable(part):<{width}}" for part, width in zip(parts, COLUMNS.values(), strict=True)]
    cells[1] = click.style(cells[1], fg="red", bold=True)
    text = "  ".join([*cells, *([f"({', '.join(notes)})"] if notes else [])])
    room = shutil.get_terminal_size().columns - len(click.unstyle(text)) - 2
    return f"{text}  {shown(record.value, room)}" if room >= 8 and record.value else text.rstrip()


def header() -> str:
    """What stands above the lines of letters."""
    names = [f"{name:<{width}}" for name, width in COLUMNS.items()]
    return click.style("  ".join([*names, "value"]), bold=True)


def shown(value: bytes | None, width: int | None = None) -> str:
    """Bytes of any kind on one line of a terminal."""
    return "null" if value is None else printable(value.decode(errors="replace"), width)


def text_or_base64(value: bytes | None) -> str | dict[str, str] | None:
    """Bytes as a member of JSON from which they can be had again."""
    try:
        return None if value is None else value.decode()
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(value or b"").decode()}


def time_of(letter: DeadLetter) -> str | None:
    """The event's time as RFC 3339; None where it carries none, or one that no calendar has."""
    return moment(letter.timestamp_ms)


def moment(timestamp_ms: int) -> str | None:
    """Milliseconds since the epoch as RFC 3339."""
    try:
        return None if timestamp_ms == NO_TIMESTAMP else rfc3339_ms(timestamp_ms / 1000)
    except (ValueError, OverflowError, OSError):
        return None
