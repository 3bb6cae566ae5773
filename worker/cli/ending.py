"""How a command says what ended it, and how the process ends."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import traceback
from pathlib import Path
from typing import NoReturn

import click

from worker.cli.errors import exit_code
from worker.errors import ExitCode, WorkerError
from worker.exhaustion import exhausted

logger = logging.getLogger(__name__)


def say(error: WorkerError) -> None:
    """The error on stderr, for people: a line, or several where it has several."""
    for line in str(error).splitlines():
        click.echo(f"{click.style('error:', fg='red', bold=True)} {line}", err=True)


def log(error: WorkerError) -> None:
    """The same in the log: whoever collects it as JSON would not see the plain line that is printed for people."""
    logger.critical("stopping: %s", error, extra={"exit_code": int(exit_code(error))})


def bug(error: BaseException) -> WorkerError:
    """What is said of an error that nobody foresaw, beside its traceback in the log or on stderr."""
    return WorkerError(f"This is a bug: {_where(error)}; the traceback says more, please report it")


def end_with(error: BaseException, *, for_people: bool) -> NoReturn:
    """End the process because of `error`, now, whatever still runs."""
    error = exhausted(error) or error
    if not isinstance(error, WorkerError):
        logger.error("an error that nobody foresaw", exc_info=error)
        error = bug(error)
    if not for_people:
        log(error)
    say(error)
    end_process(exit_code(error))


def end_process(code: ExitCode) -> NoReturn:
    """End at once. Everything that was written is flushed, and nothing else is waited for.

    The interpreter would wait for threads, and the libraries would take themselves apart under those that still
    compute, which aborts the process.
    """
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):  # nobody reads it any more
            stream.flush()
    os._exit(code)


def _where(error: BaseException) -> str:
    """Kind and place of an error; not its message, which may quote a review."""
    frames = traceback.extract_tb(error.__traceback__)
    place = f" in {frames[-1].name} ({Path(frames[-1].filename).name}:{frames[-1].lineno})" if frames else ""
    return f"{type(error).__name__}{place}"
