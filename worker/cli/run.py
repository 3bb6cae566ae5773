"""``reviews-worker run``: the worker itself."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, NoReturn

import click

from worker.cli.ending import end_process, end_with, log
from worker.cli.options import SettingsCommand, read_settings, setting_options
from worker.errors import UsageError
from worker.logs import configure_logging
from worker.settings import Settings

if TYPE_CHECKING:
    from worker.faust_app import ModelLoader


@click.command(cls=SettingsCommand)
@setting_options()
@click.pass_context
def command(context: click.Context) -> None:
    """Classify reviews from Kafka until told to stop.

    Reads the input topic, classifies, and publishes each review with its result to the output topic. Every option can
    be set in the environment too; the command line wins. SIGTERM or Ctrl-C finishes what is in flight, publishes,
    commits and exits with 0; a second one exits at once.
    """
    try:
        settings = read_settings(context)
    except UsageError as error:
        if not configure_logging():
            log(error)
        raise
    work(settings)


def work(settings: Settings, load: ModelLoader | None = None) -> NoReturn:
    """Run a worker, with the model that `load` answers; it ends the process, which nothing that still runs can keep."""
    end = functools.partial(end_with, for_people=configure_logging(settings.log_level, settings.log_format))
    from worker.faust_app import load_model, run_worker

    try:
        code = run_worker(settings, load=load or load_model, end=end)
    except BaseException as error:
        end(error)
    end_process(code)
