"""The only room that knows Faust: the app, its transport, and the service that puts all the rooms together."""

from worker.service.model_loading import load_model
from worker.service.process import run_worker
from worker.service.service import ModelLoader

__all__ = ["ModelLoader", "load_model", "run_worker"]
