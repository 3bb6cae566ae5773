"""Trying again what may pass, for as long as it takes, and saying so when it takes long."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TypeVar

from worker.errors import TransactionError

logger = logging.getLogger(__name__)

T = TypeVar("T")
FIRST_PAUSE_S = 0.1
LONGEST_PAUSE_S = 5.0
PATIENCE_S = 10.0
"""What takes so long is mentioned in the log: something has to be looked at."""
SLOW = "%s has taken %.0f s so far; look at the topics and at the broker's transaction coordinator"


async def persistently(
    what: str,
    attempt: Callable[[], Awaitable[T]],
    *,
    on_failure: Callable[[], None],
    abandoned: Callable[[], bool] = lambda: False,
) -> T | None:
    """The answer of `attempt`, tried again after each TransactionError; None when it was abandoned meanwhile."""
    pause = FIRST_PAUSE_S
    while True:
        try:
            async with mentioned(what):
                return await attempt()
        except TransactionError as error:
            level = logging.WARNING if pause == FIRST_PAUSE_S else logging.DEBUG
            logger.log(level, "%s failed (%s); trying again", what, error)
            on_failure()
        if abandoned():
            return None
        await asyncio.sleep(pause)
        pause = min(2 * pause, LONGEST_PAUSE_S)


@contextlib.asynccontextmanager
async def mentioned(what: str) -> AsyncIterator[None]:
    """Says when it takes long: aiokafka tries for ever, in silence, whatever may pass by itself."""
    timer = asyncio.get_running_loop().call_later(PATIENCE_S, logger.warning, SLOW, what, PATIENCE_S)
    try:
        yield
    finally:
        timer.cancel()
