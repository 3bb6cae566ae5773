"""The only room that knows Faust: the app, its transport, and the service that puts all the rooms together."""

from worker.faust_app.model import load_model
from worker.faust_app.process import run_worker
from worker.faust_app.service import ModelLoader

__all__ = ["ModelLoader", "load_model", "run_worker"]
