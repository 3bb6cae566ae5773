"""What happened when in a scenario."""

from __future__ import annotations

import time
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Moment:
    """One thing that happened."""

    at_s: float
    """Since the scenario began."""
    subject: str
    """To whom: ``worker 1``, ``broker 2``, ``network``, ``topics``."""
    what: str


@dataclass
class Timeline:
    """The moments of one scenario, as they come."""

    moments: list[Moment] = field(default_factory=list)
    _began_at: float = field(default_factory=time.monotonic, init=False)

    def note(self, subject: str, what: str) -> None:
        """It happens now."""
        self.moments.append(Moment(round(self.elapsed_s, 3), subject, what))

    @property
    def elapsed_s(self) -> float:
        """Seconds since the scenario began."""
        return time.monotonic() - self._began_at
