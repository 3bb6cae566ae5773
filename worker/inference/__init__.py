"""Batches to predictions: the model artifact on disk, the ONNX Runtime session, and what happens when it fails."""

from worker.inference.artifact import Artifact
from worker.inference.runner import BatchRunner, RetryPolicy
from worker.inference.session import ClassifierSession, Session, SessionOptions, open_session

__all__ = [
    "Artifact",
    "BatchRunner",
    "ClassifierSession",
    "RetryPolicy",
    "Session",
    "SessionOptions",
    "open_session",
]
