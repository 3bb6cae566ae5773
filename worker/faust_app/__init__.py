"""The only room that knows Faust: the app, its transport, and the service that puts all the rooms together."""

from worker.faust_app.service import run_worker

__all__ = ["run_worker"]
