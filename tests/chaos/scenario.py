"""What a scenario is, and the list of all.

A scenario is a coroutine function that is given a `Stage`, makes trouble, and returns; what must hold is judged
afterwards, for all scenarios in the same way (`runner`).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

from worker.settings import Settings

if TYPE_CHECKING:
    from tests.chaos.stage import Stage

Guarantee = Literal["at_least_once", "exactly_once"]
GUARANTEES: tuple[Guarantee, ...] = get_args(Guarantee)
SUPPORTED: tuple[Guarantee, ...] = GUARANTEES if "processing_guarantee" in Settings.model_fields else ("at_least_once",)
"""What this worker can be set to."""

Play = Callable[["Stage"], Awaitable[None]]
DEADLINE_S = 180.0
Alone = Literal["kafka", "proxies"]
"""A scenario that ends brokers must have the Kafka for itself, one that cuts the network only the proxies."""


@dataclass(frozen=True)
class Need:
    """Which Kafka a scenario needs; those with the same need share one, one after the other."""

    brokers: Literal[1, 3] = 1
    properties: tuple[tuple[str, str], ...] = ()
    """Settings of the broker."""


@dataclass(frozen=True)
class Scenario:
    """One scenario."""

    name: str
    theme: str
    about: str
    play: Play
    need: Need
    guarantees: tuple[Guarantee, ...]
    short: float | None
    """The scale at which it runs under pytest; None when it does not."""
    alone_with: Alone | None
    """What nobody else may use meanwhile."""
    deadline_s: float
    """At the full scale; a smaller one has no less than a fixed part of it."""

    def time_limit_s(self, scale: float) -> float:
        """How long it may take at `scale`."""
        return min(self.deadline_s, DEADLINE_S) + max(0.0, self.deadline_s - DEADLINE_S) * scale


SCENARIOS: dict[str, Scenario] = {}


def scenario(
    *,
    brokers: Literal[1, 3] = 1,
    properties: Mapping[str, str] | None = None,
    guarantees: tuple[Guarantee, ...] = GUARANTEES,
    short: float | None = None,
    alone_with: Alone | None = None,
    deadline_s: float = DEADLINE_S,
) -> Callable[[Play], Play]:
    """Put the function that follows on the list; its name is the scenario's, its module the theme, its docstring what
    it is about.
    """

    def register(play: Play) -> Play:
        name = play.__name__
        if name in SCENARIOS:
            raise ValueError(f"there are two scenarios with the name {name}")
        about = " ".join((play.__doc__ or "").split())
        need = Need(brokers, tuple(sorted((properties or {}).items())))
        theme = play.__module__.rpartition(".")[2]
        SCENARIOS[name] = Scenario(name, theme, about, play, need, guarantees, short, alone_with, deadline_s)
        return play

    return register
