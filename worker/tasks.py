"""Tasks with an owner, who learns of their end: nobody else would notice that a routine is gone."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

OnFailure = Callable[[BaseException], None]

_running: set[asyncio.Task[None]] = set()
"""Event loops keep no task alive."""


def owned(
    coroutine: Coroutine[Any, Any, None], name: str, on_failure: OnFailure, *, ends: bool = False
) -> asyncio.Task[None]:
    """Start a task in the running event loop. Its owner's `on_failure` is told before anybody who waits for the task.

    A failure is an exception, a cancellation that nobody asked the task for, and a return, unless the task `ends` by
    itself. The task raises none of it.
    """
    task = asyncio.create_task(_told(coroutine, name, on_failure, ends=ends), name=name)
    _running.add(task)
    task.add_done_callback(_running.discard)
    return task


def watched(task: asyncio.Task[Any], name: str, on_failure: OnFailure) -> None:
    """Own a task that a library has started, and that is to run until the library cancels it."""

    def told(task: asyncio.Task[Any]) -> None:
        if not task.cancelled():
            on_failure(task.exception() or _bug(f"{name} has ended"))
        elif not task.cancelling():
            on_failure(_bug(f"{name} was cancelled by nobody"))

    task.add_done_callback(told)


async def _told(coroutine: Coroutine[Any, Any, None], name: str, on_failure: OnFailure, *, ends: bool) -> None:
    try:
        await coroutine
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise
        on_failure(_bug(f"{name} was cancelled by nobody"))
    except Exception as error:
        on_failure(error)
    else:
        if not ends:
            on_failure(_bug(f"{name} has ended"))


def _bug(what: str) -> RuntimeError:
    return RuntimeError(f"This is a bug: {what}")
