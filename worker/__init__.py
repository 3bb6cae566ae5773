"""Classifies a live stream of reviews: Kafka in, ALBERT on ONNX Runtime, Kafka out.

In a program of your own::

    from worker import Classifier

    print(Classifier.load().predict(["I really liked that movie!"]))
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from worker.inference.classifier import Classification, Classifier
    from worker.tokenization.overflow import Overflow

__all__ = ["Classification", "Classifier", "Overflow"]

_HOMES = {
    "Classification": "worker.inference.classifier",
    "Classifier": "worker.inference.classifier",
    "Overflow": "worker.tokenization.overflow",
}


def __getattr__(name: str) -> object:
    """Load the public names when they are first asked for: most commands need no model."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
