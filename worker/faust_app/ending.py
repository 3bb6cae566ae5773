"""How a worker's process ends when its orderly end does not come: by a second signal, or when it takes too long.

An orderly end waits for threads, for the broker and for the libraries beneath. Any of them may hang, and the event loop
with them, so neither of these needs the event loop.
"""

from __future__ import annotations

import os
import queue
import signal
import threading
import time
from collections.abc import Callable
from types import FrameType
from typing import NoReturn

from worker.errors import ExitCode

END_LIMIT_S = 23.0
"""How long an orderly end may take after the grace period; `docs/operations.md` promises 25 s."""

End = Callable[[BaseException], NoReturn]
"""Says what ended the process, and ends it."""


class LastResort:
    """Ends the process so many seconds after it was armed, from a thread of its own. What armed it first counts."""

    def __init__(self, end: End) -> None:
        self._end = end
        # Signal handlers may put something into this kind of queue.
        self._armed: queue.SimpleQueue[tuple[float, BaseException]] = queue.SimpleQueue()
        threading.Thread(target=self._wait, name="last-resort", daemon=True).start()

    def arm(self, seconds: float, error: BaseException) -> None:
        """Give the orderly end so long, then end the process with `error`. From any thread or signal handler."""
        self._armed.put((seconds, error))

    def _wait(self) -> None:
        seconds, error = self._armed.get()
        time.sleep(seconds)
        self._end(error)


def on_signals(first: Callable[[], None]) -> None:
    """Call `first` at the first SIGTERM or SIGINT, in the handler itself; the second ends the process at once."""
    signals = 0

    def handle(number: int, frame: FrameType | None) -> None:
        nonlocal signals
        signals += 1
        if signals > 1:
            os._exit(ExitCode.KILLED)
        first()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, handle)
