"""What an error means for whoever started the command."""

from __future__ import annotations

from worker.errors import BrokerError, ExitCode, FatalError, WorkerError


def exit_code(error: WorkerError) -> ExitCode:
    """The exit code that an error which nothing has handled leads to."""
    if isinstance(error, FatalError):
        return error.exit_code
    return ExitCode.UNREACHABLE if isinstance(error, BrokerError) else ExitCode.BUG
