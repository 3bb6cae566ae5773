"""The only room that knows Faust: the app, its transport, and the service that puts all the rooms together."""

from worker.faust_app.model import load_model
from worker.faust_app.service import ModelLoader, run_worker

__all__ = ["ModelLoader", "load_model", "run_worker"]
