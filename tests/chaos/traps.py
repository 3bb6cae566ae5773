"""Workers that are broken on purpose: the suite must catch each of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.chaos.scenario import Guarantee


@dataclass(frozen=True)
class Trap:
    """One way to be broken."""

    name: str
    about: str
    program: Path
    """Takes the place of ``special_worker.py``: the same arguments, the same settings."""
    scenario: str
    """The scenario that must notice it."""
    catches: str
    """The beginning of the complaint: ``lost``, ``repeated``, ``reordered``, ``corrupted``, ``wrongly labelled`` ..."""
    guarantees: tuple[Guarantee, ...] = ("at_least_once",)
    variables: Mapping[str, str] = field(default_factory=dict)
    scale: float | None = None
    """The scale at which it must be noticed; the scenario's short one when None."""


TRAPS: dict[str, Trap] = {}


def add_trap(trap: Trap) -> None:
    """Put it on the list."""
    if trap.name in TRAPS:
        raise ValueError(f"there are two traps with the name {trap.name}")
    TRAPS[trap.name] = trap
