"""The command line: each command is one thin file that parses, calls a room and prints."""

from worker.cli.commands import main

__all__ = ["main"]
