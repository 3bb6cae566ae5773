"""An ONNX model that somebody has exported already, as a file or a folder."""

from __future__ import annotations

from pathlib import Path

from worker.convert.checkpoint import Source, SourceOptions


def is_onnx(location: Path) -> bool:
    """Whether `location` looks like one."""
    raise NotImplementedError


def read_onnx(location: Path, options: SourceOptions) -> Source:
    """Read it; raises `worker.convert.shape.CheckpointError`."""
    raise NotImplementedError
