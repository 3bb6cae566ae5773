"""The command line: each command is one thin file that parses, calls a room and prints."""

__all__ = ["main"]


def main() -> None:
    """Entry point of the console script ``reviews-worker``."""
    from worker.cli.interrupts import interrupt_between_imports

    interrupt_between_imports()
    from worker.cli.commands import main as run_command

    run_command()
