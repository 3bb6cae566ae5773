"""``reviews-worker run``: the worker itself."""

from __future__ import annotations

import logging

import click

from worker.cli.errors import exit_code
from worker.cli.options import SettingsCommand, read_settings, setting_options
from worker.errors import WorkerError
from worker.logs import configure_logging

logger = logging.getLogger(__name__)


@click.command(cls=SettingsCommand)
@setting_options()
@click.pass_context
def command(context: click.Context) -> None:
    """Classify reviews from Kafka until told to stop.

    Reads the input topic, classifies, and publishes each review with its result to the output topic. Every option can
    be set in the environment too; the command line wins. SIGTERM or Ctrl-C finishes what is in flight, publishes,
    commits and exits with 0; a second one exits at once.
    """
    settings = read_settings(context)
    for_people = configure_logging(settings.log_level, settings.log_format)
    from worker.faust_app import run_worker

    try:
        code = run_worker(settings)
    except WorkerError as error:
        if not for_people:
            # Whoever collects the log as JSON would not see the plain line that is printed for people.
            logger.critical("stopping: %s", error, extra={"exit_code": int(exit_code(error))})
        raise
    context.exit(int(code))
