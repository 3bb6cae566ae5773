"""``reviews-worker model``: import, inspect, verify and evaluate models."""

from worker.cli.model.commands import command

__all__ = ["command"]
