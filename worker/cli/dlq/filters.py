"""The options that choose dead letters: ``--reason`` and ``--since``."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from datetime import datetime
from typing import Any, TypeVar

import click

from worker.errors import Reason

F = TypeVar("F", bound=Callable[..., Any])

_UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 7 * 86_400}
_PART = r"([0-9]{1,9})([smhdw])"


def since_ms(text: str, now_ms: int) -> int:
    """The moment that `text` names, in milliseconds since the epoch; raises ValueError that says what is allowed.

    An RFC 3339 time (``2026-11-23T15:00:00Z``), or how long ago (``90s``, ``30m``, ``2h``, ``7d``, ``1d12h``).
    """
    if re.fullmatch(rf"(?:{_PART})+", text):
        ago_s = sum(int(number) * _UNITS_S[unit] for number, unit in re.findall(_PART, text))
        return now_ms - ago_s * 1000
    try:
        moment = datetime.fromisoformat(text.upper())
        if moment.tzinfo is not None:
            return round(moment.timestamp() * 1000)
    except (ValueError, OverflowError):
        pass
    else:
        raise ValueError(f"{text!r} does not say its zone; end it with Z or with +01:00")
    raise ValueError(f"{text!r} is neither a time (2026-11-23T15:00:00Z) nor how long ago (30m, 2h, 7d)")


class _Since(click.ParamType):
    name = "T"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        try:
            return since_ms(str(value), time.time_ns() // 1_000_000)
        except ValueError as error:
            self.fail(str(error), param, ctx)


def filter_options(function: F) -> F:
    """Give a command both options, as `reasons` and `since`."""
    reason = click.option(
        "--reason",
        "reasons",
        multiple=True,
        type=click.Choice([reason.value for reason in Reason]),
        metavar="R",
        help=f"Only those with this reason; may be given several times. One of {', '.join(Reason)}.",
    )
    since = click.option(
        "--since",
        type=_Since(),
        help="Only those whose event is from T or later: 2026-11-23T15:00:00Z, or how long ago (30m, 2h, 7d).",
    )
    return reason(since(function))
