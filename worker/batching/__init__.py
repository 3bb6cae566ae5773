"""Waiting reviews to batches: a token budget over padded cost, reviews of like length together, oldest first."""

from worker.batching.batch import Batch
from worker.batching.ladder import ShapeLadder
from worker.batching.limits import BatchLimits
from worker.batching.queue import BatchQueue

__all__ = ["Batch", "BatchLimits", "BatchQueue", "ShapeLadder"]
