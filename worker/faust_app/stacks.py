"""Where everything stands: the stacks of all threads, and of all tasks of the event loops. Places only, no values."""

from __future__ import annotations

import asyncio
import sys
import threading
import traceback
from collections.abc import Iterable, Iterator
from types import FrameType


def all_stacks(loops: Iterable[asyncio.AbstractEventLoop]) -> str:
    """A line for each thread and each task, and below it its calls, the innermost last. From any thread."""
    return "\n".join([*_threads(), *(line for loop in loops for line in _tasks(loop))])


def _threads() -> Iterator[str]:
    frames = sys._current_frames()
    for thread in threading.enumerate():
        frame = frames.get(thread.ident or 0)
        yield f"thread {thread.name}"
        if frame is not None:
            yield from _calls(list(traceback.walk_stack(frame))[::-1])


def _tasks(loop: asyncio.AbstractEventLoop) -> Iterator[str]:
    for task in asyncio.all_tasks(loop):
        yield f"task {task.get_name()}"
        yield from _calls([(frame, frame.f_lineno) for frame in _awaiting(task)])


def _awaiting(task: asyncio.Task[object]) -> list[FrameType]:
    """The frames of a task down to what it waits for: `get_stack` knows the outermost one only."""
    frames: list[FrameType] = []
    awaited: object = task.get_coro()
    while awaited is not None:
        frame = getattr(awaited, "cr_frame", None) or getattr(awaited, "gi_frame", None)
        if frame is None:
            break
        frames.append(frame)
        awaited = getattr(awaited, "cr_await", None) or getattr(awaited, "gi_yieldfrom", None)
    return frames


def _calls(frames: Iterable[tuple[FrameType, int]]) -> Iterator[str]:
    for frame, line in frames:
        yield f"  {frame.f_code.co_qualname} ({frame.f_code.co_filename}:{line})"
