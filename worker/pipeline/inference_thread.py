"""The thread that computes: one call after the other, and no reason for the process to stay."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import Any, NamedTuple


class _Call(NamedTuple):
    future: Future[Any]
    function: Callable[[], Any]


class DaemonThread(Executor):
    """One thread that the end of the process does not wait for.

    The interpreter joins the threads of a `ThreadPoolExecutor` at exit, whatever they do: a session that hangs would
    keep a worker alive that has already stopped.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._calls: queue.SimpleQueue[_Call | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """See `concurrent.futures.Executor.submit`."""
        future: Future[Any] = Future()
        self._calls.put(_Call(future, lambda: fn(*args, **kwargs)))
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """End the thread after the calls that wait, or without them; a call that runs is not interrupted."""
        while cancel_futures:
            try:
                call = self._calls.get_nowait()
            except queue.Empty:
                break
            if call is not None:
                call.future.cancel()
        self._calls.put(None)
        if wait:
            self._thread.join()

    def _run(self) -> None:
        while (call := self._calls.get()) is not None:
            if not call.future.set_running_or_notify_cancel():
                continue
            try:
                result = call.function()
            except BaseException as error:  # whatever it is, it belongs to whoever waits for the call
                call.future.set_exception(error)
            else:
                call.future.set_result(result)
