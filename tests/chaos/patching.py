"""Changing the worker's own code in a process that is started for a test."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Patch = Callable[[], None]


def by_name(*patches: Patch) -> dict[str, Patch]:
    """Each by the name of its function, with dashes."""
    return {patch.__name__.replace("_", "-"): patch for patch in patches}


def replace(owner: type, name: str, make: Callable[[Any], Any]) -> None:
    """Put ``make(original)`` in the place of a method; AttributeError where the worker has no such method any more."""
    setattr(owner, name, make(getattr(owner, name)))
