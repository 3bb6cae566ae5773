"""``reviews-worker demo``: everything on this machine, from an empty broker to classified reviews."""

from worker.cli.demo.command import command

__all__ = ["command"]
