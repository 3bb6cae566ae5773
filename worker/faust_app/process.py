"""The process of a worker: its signals, what an error means for it, and an end that comes in any case."""

from __future__ import annotations

import asyncio
import gc
import logging
import sys
from typing import Any

from aiokafka.errors import KafkaConnectionError, KafkaError

from worker.errors import ExitCode, FatalError, GraceExceededError, UnreachableError
from worker.exhaustion import exhausted, listen, raise_file_limit, tell
from worker.faust_app.allocator import give_large_blocks_back
from worker.faust_app.ending import END_LIMIT_S, End, LastResort, on_signals
from worker.faust_app.model import load_model
from worker.faust_app.service import ModelLoader, WorkerService
from worker.security import as_worker_error, lacking, recent_failure
from worker.settings import Settings

logger = logging.getLogger(__name__)

SWITCH_INTERVAL_S = 0.001


def run_worker(settings: Settings, *, end: End, load: ModelLoader = load_model) -> ExitCode:
    """Run a worker until SIGTERM or SIGINT; raises WorkerError. A second signal ends the process at once.

    The caller has to end the process, without waiting for threads: the model may still be loading or computing in one.
    Where the orderly end takes too long, `end` is called from a thread.
    """
    raise_file_limit()
    give_large_blocks_back()
    # Thousands of reviews are in flight at any time, none of them in a cycle: with the collector's usual threshold of
    # 700 new objects a tenth of the event loop's time goes into looking through them.
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)
    # The event loop gives the interpreter lock up at every call of the system, and would then wait for up to 5 ms for a
    # thread that prepares or fills in a batch.
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    last_resort = LastResort(lambda error: end(_as_worker_error(error, settings)))
    # Not asyncio.run(): it waits for tasks and for threads that may never end.
    return asyncio.Runner().run(_run(settings, load, last_resort))


async def _run(settings: Settings, load: ModelLoader, last_resort: LastResort) -> ExitCode:
    service = WorkerService(settings, load=load)
    loop = asyncio.get_running_loop()

    def stop() -> None:
        logger.info("signal received; another one ends the process at once")
        service.request_stop()

    def first_signal() -> None:
        limit_s = settings.grace_period_s + END_LIMIT_S
        last_resort.arm(limit_s, GraceExceededError(f"the worker did not stop in {limit_s:g} s: something hangs"))
        loop.call_soon_threadsafe(stop)

    on_signals(first_signal)
    listen(lambda used_up: loop.call_soon_threadsafe(service.failed, used_up))
    loop.set_exception_handler(_told)
    service.failure.add_done_callback(lambda failure: last_resort.arm(END_LIMIT_S, failure.result()))
    try:
        return await service.run()
    except KafkaError as error:
        raise _as_worker_error(error, settings) from error


def _told(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Notice when no connection can be accepted: the loop would log it, and try again for ever."""
    error = context.get("exception")
    if error is not None and (used_up := exhausted(error)) is not None:
        tell(used_up)
    else:
        loop.default_exception_handler(context)


def _as_worker_error(error: BaseException, settings: Settings) -> BaseException:
    """What an error of aiokafka's means; any other as it is."""
    if isinstance(error, KafkaConnectionError):
        if (failure := recent_failure()) and failure.hopeless:
            return as_worker_error(failure)
        return UnreachableError(
            f"Kafka at {settings.bootstrap_servers} went away during the start ({error}); start the worker again"
        )
    if isinstance(error, KafkaError):
        return lacking(error, "read") or FatalError(f"the broker refused: {type(error).__name__}: {error}")
    return error
