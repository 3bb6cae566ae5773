from __future__ import annotations

import click
import orjson
import pytest
from click.testing import CliRunner

from worker.cli.commands import commands
from worker.cli.described import described_settings, environment_of
from worker.cli.options import SettingsCommand, read_settings, setting_options
from worker.settings import Settings

runner = CliRunner()


@click.command(cls=SettingsCommand)
@setting_options()
@click.pass_context
def show(context: click.Context) -> None:
    settings = read_settings(context)
    click.echo(f"{settings.port} {settings.create_topics} {settings.input_topic} {settings.linger_s}")


def squeezed(text: str) -> str:
    return " ".join(text.split())


@pytest.mark.parametrize("command", ["run", "check"])
def test_help_shows_each_setting_with_its_meaning_its_default_and_its_variables(command: str):
    result = runner.invoke(commands, [command, "--help"], terminal_width=400)
    assert result.exit_code == 0
    shown = squeezed(result.output)
    for setting in described_settings():
        assert setting.option in shown
        meaning = setting.meaning.replace("``", "")
        notes = f"[default: {setting.default}] [env: {', '.join(setting.variables)}]"
        assert squeezed(meaning) in shown
        assert notes in shown


def test_every_setting_is_described():
    described = list(described_settings())
    assert [setting.name for setting in described] == list(Settings.model_fields)
    for setting in described:
        assert setting.meaning.endswith(".")
        assert setting.allowed
        assert setting.section


def test_the_variables_that_are_described_are_the_ones_that_are_read(monkeypatch: pytest.MonkeyPatch):
    settings = Settings(port=1, create_topics=False, model="/models/a", linger_s=0.25, bootstrap_servers="a:1")
    for name, value in environment_of(settings).items():
        monkeypatch.setenv(name, value)
    assert Settings() == settings


@pytest.mark.parametrize("folder", ["./bundled", "bundled/", "/models/bundled"])
def test_a_folder_that_is_called_as_the_bundled_model_is_reaches_another_process(
    folder: str, monkeypatch: pytest.MonkeyPatch
):
    settings = Settings(model=folder)
    for name, value in environment_of(settings).items():
        monkeypatch.setenv(name, value)
    assert Settings() == settings


def test_the_command_line_wins_over_the_environment():
    environment = {"REVIEWS_WORKER_PORT": "1", "REVIEWS_WORKER_LINGER_S": "0.5"}
    result = runner.invoke(show, ["--port", "2", "--no-create-topics"], env=environment)
    assert result.output == "2 False reviews.in 0.5\n"


def errors_of(arguments: list[str], environment: dict[str, str] | None = None) -> list[str]:
    result = runner.invoke(commands, ["run", *arguments], env=environment)
    assert result.exit_code == 2
    assert result.stdout == ""
    entry, *lines = result.stderr.splitlines()  # the log is JSON where no person reads it
    assert (orjson.loads(entry)["level"], orjson.loads(entry)["exit_code"]) == ("CRITICAL", 2)
    return lines


def test_each_wrong_value_is_one_line_that_says_where_it_comes_from_and_what_is_allowed():
    environment = {"REVIEWS_WORKER_LINGER_S": "-1", "REVIEWS_WORKER_PROVIDER": "tpu"}
    assert set(errors_of(["--port", "http", "--fuse-share", "2", "--input-topic", "a b"], environment)) == {
        "error: --port=http: a whole number from 0 to 65535 is needed",
        "error: --fuse-share=2: a number above 0 to 1 is needed",
        "error: --input-topic=a b: 1 to 249 letters, digits, dots, dashes and underscores is needed",
        "error: REVIEWS_WORKER_LINGER_S=-1: a number from 0 is needed",
        "error: REVIEWS_WORKER_PROVIDER=tpu: one of auto, cpu, cuda is needed",
    }


def test_a_wrong_server_is_traced_to_the_variable_that_names_it():
    assert errors_of([], {"KAFKA_BOOTSTRAP_SERVERS": "a:1,b"}) == [
        "error: KAFKA_BOOTSTRAP_SERVERS=a:1,b: host:port, separated by commas is needed"
        " ('b' is no host:port: write b:9092)"
    ]


def test_values_that_contradict_each_other_are_one_line_with_their_sources():
    assert errors_of(["--output-topic", "a"], {"REVIEWS_WORKER_INPUT_TOPIC": "a"}) == [
        "error: input_topic, output_topic and dead_letter_topic must differ (now a, a, reviews.dlq)"
        " (set by REVIEWS_WORKER_INPUT_TOPIC, --output-topic)"
    ]


def test_a_variable_that_sets_nothing_is_warned_of_with_the_closest_one():
    result = runner.invoke(show, [], env={"REVIEWS_WORKER_GRUOP": "a"})
    assert result.exit_code == 0
    assert result.stderr == (
        "warning: REVIEWS_WORKER_GRUOP sets nothing and is ignored; did you mean REVIEWS_WORKER_GROUP?\n"
    )


def test_the_variables_of_a_kubernetes_service_of_our_name_are_not_warned_of():
    environment = {
        "REVIEWS_WORKER_SERVICE_HOST": "10.0.0.1",
        "REVIEWS_WORKER_SERVICE_PORT": "6066",
        "REVIEWS_WORKER_SERVICE_PORT_METRICS": "6066",
        "REVIEWS_WORKER_PORT": "tcp://10.0.0.1:6066",
        "REVIEWS_WORKER_PORT_6066_TCP": "tcp://10.0.0.1:6066",
        "REVIEWS_WORKER_PORT_6066_TCP_ADDR": "10.0.0.1",
    }
    result = runner.invoke(show, [], env=environment)
    assert result.stderr == ""
    assert result.stdout.startswith("6066 ")


@pytest.mark.parametrize("command", ["run", "check"])
@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("a..b", "there is no name before, behind or between dots"),
        ("payload.after[0].x", "no path leads into an array, and brackets are no part of a name"),
        ("a. b", "a name has spaces around it or control characters"),
    ],
)
def test_what_is_no_path_is_one_line_that_says_why(command: str, path: str, why: str):
    result = runner.invoke(commands, [command, "--text-field", path])
    assert result.exit_code == (2 if command == "run" else 11)
    (line,) = [line for line in result.output.splitlines() if not line.startswith("{")]  # `run` writes a log entry too
    assert line.endswith(f"--text-field={path}: names of members joined by dots is needed ({why})")


def test_an_unknown_option_is_a_usage_error_with_a_hint():
    result = runner.invoke(commands, ["run", "--gruop", "a"])
    assert result.exit_code == 2
    assert "--group" in result.stderr
