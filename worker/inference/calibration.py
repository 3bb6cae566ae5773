"""How sure a model may be: what an artifact says of the way from logits to scores."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

LEAST_TEMPERATURE, MOST_TEMPERATURE = 0.01, 100.0
"""Far beyond what any model needs; with a smaller one, logits are no longer finite."""


@dataclass(frozen=True)
class Calibration:
    """A temperature, and what becomes of text that the model cannot read. That of most models changes nothing."""

    temperature: float = 1.0
    """Logits are divided by it."""
    prior: tuple[float, ...] = ()
    """What the scores are without any evidence, one for each label; empty where unknown pieces change nothing."""
    unknown_from: float = 0.3
    """Share of unknown characters up to which the scores are the model's own."""
    unknown_to: float = 0.6
    """Share from which they are the prior; between the two they go evenly from one to the other."""

    def fault(self, labels: int) -> str | None:
        """What is wrong with it for a model of so many labels, in words; None where nothing is."""
        if not LEAST_TEMPERATURE <= self.temperature <= MOST_TEMPERATURE:
            return f"the temperature must be between {LEAST_TEMPERATURE} and {MOST_TEMPERATURE:g}"
        if not 0 <= self.unknown_from < self.unknown_to <= 1:
            return "unknown_from and unknown_to must be shares, the first below the second"
        if not self.prior:
            return None
        if (
            len(self.prior) != labels
            or not all(0 <= share <= 1 for share in self.prior)
            or not math.isclose(sum(self.prior), 1.0, abs_tol=1e-6)
        ):
            return f"the prior must have a probability for each of the {labels} labels"
        return None

    def readable(self, scores: Sequence[float], unknown: float) -> tuple[float, ...]:
        """The scores of a text of which `unknown` is the share of unknown characters."""
        if not self.prior or unknown <= self.unknown_from:
            return tuple(scores)
        share = min(1.0, (unknown - self.unknown_from) / (self.unknown_to - self.unknown_from))
        return tuple(score + share * (prior - score) for score, prior in zip(scores, self.prior, strict=True))


UNCALIBRATED = Calibration()
"""That of a model whose artifact says nothing of it."""
