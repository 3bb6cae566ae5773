"""What runs out on this machine: files and connections, threads, room on the disk.

Nobody else can repair it and it does not pass by itself, other than a broker that is away, though it looks alike to the
libraries beneath. So whoever meets it says `exhausted`, and the process ends.
"""

from __future__ import annotations

import errno
import resource
from collections.abc import Callable

from worker.errors import ExhaustedError

Listener = Callable[[ExhaustedError], object]

MOST_FILES = 1_048_576
"""Some systems have no hard limit, and take no larger number than this."""
OWN_FILES = 80
"""Of a worker with one broker: about 35 are open at any time, the rest is for what a moment needs."""

_listeners: list[Listener] = []


def exhausted(error: BaseException) -> ExhaustedError | None:
    """What `error`, or what it came from, says to be used up; None where it says something else."""
    seen: set[int] = set()
    cause: BaseException | None = error
    while cause is not None and id(cause) not in seen:
        seen.add(id(cause))
        if isinstance(cause, ExhaustedError):
            return cause
        if (what := _used_up(cause)) is not None:
            return ExhaustedError(what)
        cause = cause.__cause__ or cause.__context__
    return None


def listen(listener: Listener) -> None:
    """Let `listener` know, in whatever thread it is met, of what is used up. One for the process."""
    _listeners[:] = [listener]


def tell(error: ExhaustedError) -> None:
    """It was met where nobody who could end the process would see it."""
    for listener in _listeners:
        listener(error)


def raise_file_limit() -> int:
    """Let this process open as many files as it may, and answer how many these are."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, MOST_FILES)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return MOST_FILES if soft == resource.RLIM_INFINITY else soft
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    except (OSError, ValueError):  # the system has a limit of its own below it
        return soft
    return wanted


def files_needed(partitions: int, brokers: int, *, exactly_once: bool) -> int:
    """How many files and connections a worker with all `partitions` has open at most.

    Exactly once, each partition has a producer, with a connection to each broker; while partitions are shared out anew
    the producers before may still be there.
    """
    return OWN_FILES + 4 * brokers + (2 * partitions * brokers if exactly_once else 0)


def _used_up(error: BaseException) -> str | None:
    if isinstance(error, RuntimeError) and "can't start new thread" in str(error):
        return (
            "no more threads can be started here; raise the limit of processes (ulimit -u, TasksMax=, pids of the"
            " container), or lower concurrent_batches, inference_threads and tokeniser_threads"
        )
    if not isinstance(error, OSError):
        return None
    match error.errno:
        case errno.EMFILE:
            limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
            return (
                f"this process has as many files and connections open as it may ({limit}); raise the limit"
                " (ulimit -n, LimitNOFILE=, nofile of the container), or let more workers share the partitions"
            )
        case errno.ENFILE:
            return "this machine has as many files open as it may; raise fs.file-max, or close what else is open"
        case errno.ENOSPC | errno.EDQUOT:
            place = f" for {error.filename}" if error.filename else ""
            return f"there is no room left on the disk{place}; make some"
    return None
