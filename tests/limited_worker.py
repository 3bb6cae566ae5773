"""``python limited_worker.py MODEL``: the worker of `special_worker.py` where little is left on the machine.

``TEST_FILES`` is how many files it may open, ``TEST_FILES_SOFT`` how many without asking for more; ``TEST_THREADS`` is
after how many more threads none can be started.
"""

from __future__ import annotations

import os
import resource
import sys
import threading

import special_worker

FILES_VARIABLE = "TEST_FILES"
SOFT_VARIABLE = "TEST_FILES_SOFT"
THREADS_VARIABLE = "TEST_THREADS"


def _limit_threads(left: int) -> None:
    """A limit of processes counts all of a user, and does not hold for root: this says what Python says then."""
    start = threading.Thread.start
    started = 0

    def start_while_allowed(thread: threading.Thread) -> None:
        nonlocal started
        started += 1
        if started > left:
            raise RuntimeError("can't start new thread")
        start(thread)

    threading.Thread.start = start_while_allowed  # type: ignore[method-assign]


if __name__ == "__main__":
    if files := os.environ.get(FILES_VARIABLE):
        resource.setrlimit(resource.RLIMIT_NOFILE, (int(os.environ.get(SOFT_VARIABLE, files)), int(files)))
    if threads := os.environ.get(THREADS_VARIABLE):
        _limit_threads(int(threads))
    special_worker.main(sys.argv[1])
