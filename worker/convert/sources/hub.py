"""A repository of the Hugging Face hub, by its id."""

from __future__ import annotations

from worker.convert.checkpoint import Source, SourceOptions


def is_hub_id(location: str) -> bool:
    """Whether `location` looks like one."""
    raise NotImplementedError


def read_hub(location: str, options: SourceOptions) -> Source:
    """Read it; raises `worker.convert.shape.CheckpointError`."""
    raise NotImplementedError
