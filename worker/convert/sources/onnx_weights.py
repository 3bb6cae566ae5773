"""Finding ALBERT's weights in an ONNX graph by its structure, whatever its nodes and initialisers are called."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import onnx

from worker.convert.shape import CheckpointError, Weights


class NotRecognisedError(CheckpointError):
    """The graph is no ALBERT classifier that can be rebuilt; the message says what was missing."""


@dataclass(frozen=True)
class Recovered:
    """What a graph says of the model that it computes."""

    config: Mapping[str, Any]
    """The members of a ``config.json`` that follow from the graph; no labels but ``num_labels``."""
    weights: Weights
    """By Hugging Face's names."""


def recover(model: onnx.ModelProto) -> Recovered:
    """Find weights and shape; raises `NotRecognisedError`."""
    raise NotImplementedError
