"""Ctrl-C in a command for people: it ends with 130 whatever the process is doing."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Coroutine
from types import FrameType
from typing import Any, TypeVar

T = TypeVar("T")

AGAIN_S = 0.05
_IMPORTING = "<frozen importlib._bootstrap"


def interrupt_between_imports() -> None:
    """Let Ctrl-C raise `KeyboardInterrupt` as it does anyway, though not before an import in progress is over.

    Modules in C++ that are being imported cannot bear an exception from nowhere: some make an `ImportError` of it, and
    some crash.
    """
    signal.signal(signal.SIGINT, _interrupt)


def run_async(main: Coroutine[Any, Any, T]) -> T:
    """`asyncio.run`, which cancels `main` at Ctrl-C only where it finds Python's own handler."""
    if threading.current_thread() is not threading.main_thread():
        return asyncio.run(main)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        return asyncio.run(main)
    finally:
        signal.signal(signal.SIGINT, before)


def _interrupt(number: int, frame: FrameType | None) -> None:
    if not _imports(frame):
        raise KeyboardInterrupt
    # To the main thread, which may be waiting by then for something that only a signal of its own ends.
    again = threading.Timer(AGAIN_S, signal.pthread_kill, (threading.main_thread().ident, number))
    again.daemon = True
    again.start()


def _imports(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_code.co_filename.startswith(_IMPORTING):
            return True
        frame = frame.f_back
    return False
