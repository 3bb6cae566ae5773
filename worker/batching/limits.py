"""What bounds a batch and a wait."""

from __future__ import annotations

from dataclasses import dataclass

from worker.batching.ladder import ShapeLadder


@dataclass(frozen=True, slots=True)
class BatchLimits:
    """Limits on batches, all resolved. Raises ValueError for one that allows nothing and for two that do not fit."""

    max_batch_tokens: int
    """Padded tokens of a batch: rows times length, both rounded to the ladder."""
    max_batch_reviews: int
    """Reviews of a batch."""
    window_reviews: int
    """The oldest waiting reviews, among which those of like length are found."""
    linger_s: float = 0.0
    """How long a review may wait in this process for company."""
    max_wait_s: float = 5.0
    """Age at which a review waits for company no longer; time in this process after which its turn comes first."""
    ladder: ShapeLadder | None = None
    """The shapes that batches may have; None for any."""

    def __post_init__(self) -> None:
        if min(self.max_batch_tokens, self.max_batch_reviews, self.window_reviews) < 1:
            raise ValueError("max_batch_tokens, max_batch_reviews and window_reviews must be positive")
        if self.linger_s < 0 or self.max_wait_s < 0:
            raise ValueError("linger_s and max_wait_s must not be negative")
        if self.ladder is not None and self.ladder.rows[-1] < self.max_batch_reviews:
            raise ValueError(
                f"the ladder's last row rung ({self.ladder.rows[-1]}) must not be below max_batch_reviews"
                f" ({self.max_batch_reviews})"
            )
