"""How a scenario ended."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field

from audit import Verdict

from tests.chaos.scenario import Guarantee
from tests.chaos.timeline import Moment


@dataclass
class Outcome:
    """Of one scenario with one guarantee."""

    scenario: str
    theme: str
    about: str
    guarantee: Guarantee
    seed: str
    scale: float
    seconds: float
    verdict: Verdict | None
    """None when it could not be judged."""
    broken: list[str]
    """A line for each broken promise."""
    allowed_repeats: int
    allowances: list[tuple[int, str]]
    facts: list[str]
    moments: list[Moment]
    logs: str = ""
    """Folder with the logs of its workers, when something is broken."""
    trap: str = ""
    """The name of the broken worker that it ran with; it must be caught then."""
    catches: str = ""
    workers: int = 0
    """How many processes were started."""

    counted: dict[str, int] = field(init=False)
    """The figures of the report."""

    def __post_init__(self) -> None:
        verdict = self.verdict or Verdict(0, 0, 0)
        self.counted = {
            "produced": verdict.produced,
            "lost": len(verdict.lost),
            "duplicated": verdict.repeats,
            "reordered": len(verdict.reordered),
            "corrupted": len(verdict.corrupted),
            "wrongly_labelled": len(verdict.wrongly_labelled),
            "both": len(verdict.both),
            "unknown": len(verdict.unknown),
            "dead_letters": verdict.dead_letters,
            "rewinds": verdict.rewinds,
            "longest_rewind": verdict.longest_rewind,
        }

    @property
    def broke_off(self) -> bool:
        """Whether the scenario did not come to its end: it leaves events unpublished then, whatever is wrong."""
        return any(re.match(r"\w*Error: |the scenario ends within", line) for line in self.broken)

    @property
    def passed(self) -> bool:
        """Whether all promises were kept; of a broken worker, whether it was caught for what is wrong with it."""
        if self.trap:
            return not self.broke_off and any(line.startswith(self.catches) for line in self.broken)
        return not self.broken

    @property
    def allowed(self) -> list[str]:
        """Why repeats were allowed, summed up."""
        times, sums = Counter[str](), Counter[str]()
        for count, why in self.allowances:
            times[why] += 1
            sums[why] += count
        return [f"{sums[why]}: {times[why]} x {why}" for why in times]
