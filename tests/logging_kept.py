"""Logging as it was, after a command has set it up."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator

from worker.observability.logs import WorkerHandler


@contextlib.contextmanager
def logging_kept() -> Iterator[None]:
    """Restore levels and handlers in the end. Fixtures of a module that run a command need it as tests do."""
    named = [logger for logger in logging.root.manager.loggerDict.values() if isinstance(logger, logging.Logger)]
    levels = {logger: logger.level for logger in (logging.root, *named)}
    handlers = list(logging.root.handlers)
    yield
    logging.captureWarnings(False)
    logging.root.handlers[:] = [
        handler for handler in logging.root.handlers if handler in handlers or not isinstance(handler, WorkerHandler)
    ]
    for logger, level in levels.items():
        logger.setLevel(level)
