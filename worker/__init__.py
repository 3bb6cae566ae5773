"""Classifies a live stream of reviews: Kafka in, ALBERT on ONNX Runtime, Kafka out.

In a program of your own::

    from worker import Classifier

    print(Classifier.load().predict(["I really liked that movie!"]))
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from worker.classifier import Classification, Classifier

__all__ = ["Classification", "Classifier"]


def __getattr__(name: str) -> object:
    """Load the public names when they are first asked for: most commands need no model."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from worker import classifier

    return getattr(classifier, name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
