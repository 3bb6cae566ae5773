"""Why a worker is not ready: what it still waits for, or has lost."""

from __future__ import annotations

from worker.observability.logs import StateLog
from worker.service.assembly import Parts
from worker.service.model_loading import Model
from worker.source.app import FaustApp


def readiness_problem(
    model: Model | None, app: FaustApp | None, parts: Parts | None, broker: StateLog, topic: StateLog
) -> str:
    """The first of them, for people; empty when the worker is ready."""
    problem = ""
    if model is None:
        problem = "the model is not warm yet"
    elif app is None or parts is None:
        problem = "the broker has not answered yet"
    elif not parts.pipeline.lifecycle.accepts_input:
        problem = "the worker is stopping"
    elif broker.is_away:
        problem = "the broker does not answer"
    elif topic.is_away:
        problem = "the input topic is missing"
    elif parts.pipeline.task is None or parts.pipeline.task.closed:
        problem = "no partitions are assigned yet"
    return problem
