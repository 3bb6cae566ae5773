"""Dead letters in words: for a terminal, and as JSON."""

from __future__ import annotations

import base64
import shutil
from typing import Any

import click

from worker.cli.terminal import printable
from worker.delivery.replay.letters import DeadLetter
from worker.events import rfc3339_ms
from worker.records import NO_TIMESTAMP

KEY_WIDTH = 24
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
    reason = click.style(printable(failure.reason if failure else FOREIGN), fg="red", bold=True)
    notes = [f"hops {letter.hops}"] if letter.hops else []
    notes += ["replayed"] if replayed else []
    parts = [
        f"{record.partition.partition}/{record.offset}",
        reason,
        printable(failure.stage) if failure else "",
        printable(failure.source) if failure else "",
        time_of(letter) or "no time",
        shown(record.key, KEY_WIDTH),
        f"{len(record.value):,} B" if record.value is not None else "no value",
        f"({', '.join(notes)})" if notes else "",
    ]
    text = "  ".join(part for part in parts if part)
    room = shutil.get_terminal_size().columns - len(click.unstyle(text)) - 2
    return f"{text}  {shown(record.value, room)}" if room >= 8 and record.value else text


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
