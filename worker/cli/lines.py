"""Reading ahead of work, in a thread, so that what has come is worked on together and nothing waits for more."""

from __future__ import annotations

import asyncio
import contextlib
import io
import os
import queue
import sys
import threading
from collections.abc import AsyncIterator, Iterable, Iterator
from typing import BinaryIO, TypeVar

T = TypeVar("T")

_GROUPS_AHEAD = 4


def in_groups(items: Iterable[T], most: int) -> Iterator[list[T]]:
    """Items in groups of up to `most`: whatever has come while the caller was busy, or the next one alone.

    An exception of `items` is raised after everything before it.
    """
    waiting: queue.Queue[T | _End] = queue.Queue(most * _GROUPS_AHEAD)
    threading.Thread(target=_read, args=(items, waiting), name="reader", daemon=True).start()
    while True:
        group: list[T] = []
        item = waiting.get()
        while not isinstance(item, _End):
            group.append(item)
            if len(group) == most or waiting.empty():
                break
            item = waiting.get()
        if group:
            yield group
        if isinstance(item, _End):
            if item.error is not None:
                raise item.error
            return


async def in_groups_async(items: Iterable[T], most: int) -> AsyncIterator[list[T]]:
    """The same for an event loop, which goes on while the source is silent."""
    loop = asyncio.get_running_loop()
    arrived: asyncio.Queue[list[T] | _End] = asyncio.Queue(_GROUPS_AHEAD)

    def put(group: list[T] | _End) -> None:
        asyncio.run_coroutine_threadsafe(arrived.put(group), loop).result()

    def read() -> None:
        error: Exception | None = None
        with contextlib.suppress(RuntimeError):  # the loop has gone: nobody wants the rest
            try:
                for group in in_groups(items, most):
                    put(group)
            except Exception as raised:
                error = raised
            put(_End(error))

    threading.Thread(target=read, name="groups", daemon=True).start()
    while not isinstance(group := await arrived.get(), _End):
        yield group
    if group.error is not None:
        raise group.error


def binary_stdin() -> BinaryIO:
    """Stdin for a thread to read.

    Not through the buffer of `sys.stdin`: the interpreter aborts when it finds that locked by a reading thread at exit.
    """
    try:
        return os.fdopen(sys.stdin.fileno(), "rb", closefd=False)
    except (io.UnsupportedOperation, ValueError):  # not a real one, as in a test
        return sys.stdin.buffer


def names_a_file(text: str) -> bool:
    """Whether `text`, which should be a review, is the name of a file that is there."""
    return os.path.isfile(text)  # noqa: PTH113 - pathlib raises for what is too long to be a name


class _End:
    """Nothing comes after this; `error` is why, when it was not the end of the source."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error


def _read(items: Iterable[T], waiting: queue.Queue[T | _End]) -> None:
    try:
        for item in items:
            waiting.put(item)
    except Exception as error:  # raised again where the items are used
        waiting.put(_End(error))
    else:
        waiting.put(_End())
