"""Log lines: for people on a terminal, one JSON object a line otherwise; always on stderr.

Extra fields (``logger.info("...", extra={"partition": 3})``) become members of the object, or ``name=value`` at the end
of the line. No message at INFO or above may hold the text of a review; the libraries beneath us never log at DEBUG for
that reason.
"""

from __future__ import annotations

import datetime
import json
import logging
import os
import sys
from dataclasses import dataclass
from typing import Any, TextIO

import orjson

from worker.clock import Clock, SystemClock
from worker.settings import LogFormat

THIRD_PARTY = ("aiokafka", "asyncio", "faust", "mode", "aiohttp", "urllib3", "opentelemetry", "py.warnings")
"""Loggers of the libraries beneath us: WARNING and above only, and a repeated complaint once a minute."""

_SERVICE_PREFIX = "[^"
"""How Faust marks what a service says of itself; it says so in the name of our subclasses, too."""
_PASSING_ERRORS = (
    "GroupCoordinatorNotAvailableError",
    "GroupLoadInProgressError",
    "LeaderNotAvailableError",
    "NotCoordinatorForGroupError",
    "NotLeaderForPartitionError",
)
"""What aiokafka reports as errors while a cluster or a new topic finds its feet; it tries again by itself."""

REPEAT_INTERVAL_S = 60.0
REMINDER_S = 600.0
_REMEMBERED_MESSAGES = 256

_OWN_ATTRIBUTES = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName", "color_message"}
_COLOURS = {"DEBUG": "2", "INFO": "32", "WARNING": "33", "ERROR": "31", "CRITICAL": "1;31"}


def configure_logging(level: str = "INFO", log_format: LogFormat = "auto", stream: TextIO | None = None) -> bool:
    """Send all log records to `stream` (stderr by default) in `log_format`; calling it again replaces the first call.

    Answers whether the lines are for people; otherwise they are JSON.

    `level` counts for this package; the libraries beneath it are kept at WARNING, or at INFO when `level` is DEBUG.
    """
    target = stream or sys.stderr
    human = log_format == "human" or (log_format == "auto" and target.isatty())
    handler = WorkerHandler(target)
    handler.setFormatter(HumanFormatter(colour=_wants_colour(target)) if human else JsonFormatter())
    handler.addFilter(_calm)
    handler.addFilter(RepeatFilter(SystemClock()))
    root = logging.getLogger()
    for old in [old for old in root.handlers if isinstance(old, WorkerHandler)]:
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(level)
    for name in THIRD_PARTY:
        logging.getLogger(name).setLevel(logging.INFO if level == "DEBUG" else max(logging.WARNING, root.level))
    logging.captureWarnings(True)
    return human


class JsonFormatter(logging.Formatter):
    """One object a line: ``ts`` (RFC 3339, UTC, milliseconds), ``level``, ``logger``, ``message``, extra fields."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "ts": _timestamp(record.created),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        for name, value in _extra(record).items():
            line.setdefault(name, value)
        if exception := _exception(self, record):
            line["exception"] = exception
        try:
            return orjson.dumps(line, default=str, option=orjson.OPT_NON_STR_KEYS).decode()
        except TypeError:  # half a surrogate pair, or an integer beyond 64 bits
            text = json.dumps(line, default=str, ensure_ascii=False)
            return text.encode(errors="replace").decode()


class HumanFormatter(logging.Formatter):
    """``time LEVEL message name=value``, the level in colour where the terminal has colours."""

    def __init__(self, *, colour: bool) -> None:
        super().__init__()
        self._colour = colour

    def format(self, record: logging.LogRecord) -> str:
        time = datetime.datetime.fromtimestamp(record.created).astimezone().strftime("%H:%M:%S")
        level = f"{record.levelname:<7}"
        if self._colour:
            level = f"\x1b[{_COLOURS.get(record.levelname, '0')}m{level}\x1b[0m"
        extra = "".join(f" {name}={value}" for name, value in _extra(record).items())
        where = f"[{record.name}] " if _is_third_party(record.name) else ""
        line = f"{time} {level} {where}{record.getMessage()}{extra}"
        exception = _exception(self, record)
        return f"{line}\n{exception}" if exception else line


@dataclass(slots=True)
class _Repeats:
    said_at: float
    suppressed: int = 0


class RepeatFilter(logging.Filter):
    """Lets a third-party message through once, then at most once in `interval_s`, with the number left out.

    A client whose broker is away complains several times a second in the same words; our own lines say when the
    broker went and when it came back. Messages are told apart by logger and template, not by their arguments. Records
    of this package always pass.
    """

    def __init__(self, clock: Clock, interval_s: float = REPEAT_INTERVAL_S) -> None:
        super().__init__()
        self._clock = clock
        self._interval_s = interval_s
        self._repeats: dict[tuple[str, str], _Repeats] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        if not _is_third_party(record.name):
            return True
        key = (record.name, str(record.msg))
        now = self._clock.monotonic()
        repeats = self._repeats.get(key)
        if repeats is None:
            if len(self._repeats) >= _REMEMBERED_MESSAGES:
                self._repeats.clear()
            self._repeats[key] = _Repeats(now)
            return True
        if now - repeats.said_at < self._interval_s:
            repeats.suppressed += 1
            return False
        if repeats.suppressed:
            record.repeated = repeats.suppressed
        self._repeats[key] = _Repeats(now)
        return True


class StateLog:
    """Says once that something went away, and once that it is back, however often it is asked.

    While it stays away it says so again every `REMINDER_S`: what does not pass by itself must not be forgotten.
    """

    def __init__(
        self,
        logger: logging.Logger,
        name: str,
        clock: Clock | None = None,
        words: tuple[str, str, str] = ("does not answer", "has not answered", "answers again"),
    ) -> None:
        self._logger = logger
        self._name = name
        self._clock = clock or SystemClock()
        self._goes, self._stays, self._comes_back = words
        self._away = False
        self._since = self._said_at = 0.0

    @property
    def is_away(self) -> bool:
        """Whether it was away when it was last asked."""
        return self._away

    def away(self, reason: object, then: str) -> None:
        """`name` is away for `reason`; `then` tells the reader what happens next."""
        now = self._clock.monotonic()
        if not self._away:
            self._away, self._since, self._said_at = True, now, now
            self._logger.warning("%s %s (%s); %s", self._name, self._goes, reason, then)
        elif now - self._said_at >= REMINDER_S:
            self._said_at = now
            minutes = (now - self._since) / 60
            self._logger.warning("%s %s for %.0f min (%s); %s", self._name, self._stays, minutes, reason, then)

    def back(self) -> None:
        """`name` is there; says so only after it was away."""
        if self._away:
            self._away = False
            self._logger.info("%s %s", self._name, self._comes_back)


class WorkerHandler(logging.StreamHandler[TextIO]):
    """The handler that `configure_logging` installs, so that its next call finds it."""


def _calm(record: logging.LogRecord) -> bool:
    """Drops what Faust's services say of their starts and stops, and takes the alarm out of what passes by itself."""
    message = str(record.msg)
    if record.levelno == logging.INFO and message.startswith(_SERVICE_PREFIX):
        return logging.getLogger().level <= logging.DEBUG
    if record.levelno == logging.ERROR and _is_third_party(record.name):
        text = record.getMessage()
        if any(error in text for error in _PASSING_ERRORS):
            record.levelno, record.levelname = logging.WARNING, "WARNING"
    return True


def _is_third_party(name: str) -> bool:
    return name.split(".", 1)[0] in THIRD_PARTY or name in THIRD_PARTY


def _extra(record: logging.LogRecord) -> dict[str, Any]:
    return {
        name: value
        for name, value in record.__dict__.items()
        if name not in _OWN_ATTRIBUTES and not name.startswith("_")
    }


def _exception(formatter: logging.Formatter, record: logging.LogRecord) -> str | None:
    if record.exc_info and record.exc_info[0] is not None:
        return formatter.formatException(record.exc_info)
    return record.exc_text


def _timestamp(seconds: float) -> str:
    moment = datetime.datetime.fromtimestamp(seconds, tz=datetime.UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _wants_colour(stream: TextIO) -> bool:
    return stream.isatty() and "NO_COLOR" not in os.environ and os.environ.get("TERM") != "dumb"
