"""``reviews-worker dlq``: look at dead letters, and send them again."""

from worker.cli.dlq.commands import command

__all__ = ["command"]
