from __future__ import annotations

import socket

from click.testing import CliRunner

from worker.cli.commands import commands

runner = CliRunner()


def checked(*arguments: str, **environment: str) -> tuple[int, dict[str, str]]:
    """Exit code, and the line of each check by its name."""
    environment = {"REVIEWS_WORKER_START_TIMEOUT_S": "0.1", **environment}
    result = runner.invoke(commands, ["check", "--bootstrap-servers", "127.0.0.1:1", *arguments], env=environment)
    assert "Traceback" not in result.output
    return result.exit_code, {line.split()[1]: line for line in result.stdout.splitlines()}


def test_wrong_settings_fail_the_check_and_end_it():
    code, lines = checked("--port", "http", REVIEWS_WORKER_FUSE_SHARE="3")
    assert code == 11
    assert list(lines) == ["settings"]


def test_each_check_is_one_line_and_a_failure_shows_in_the_exit_code():
    code, lines = checked("--port", "0")
    assert code == 11
    assert list(lines) == ["settings", "security", "broker", "group", "topics", "files", "artifact", "provider", "port"]
    verdicts = {name: line.split()[0] for name, line in lines.items()}
    assert verdicts == {
        "settings": "ok",
        "security": "ok",
        "broker": "failed",
        "group": "failed",
        "topics": "failed",
        "files": "failed",
        "artifact": "ok",
        "provider": "ok",
        "port": "ok",
    }
    assert "127.0.0.1:1 does not answer" in lines["broker"]


def test_a_taken_port_fails_with_a_remedy():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        _, lines = checked("--port", str(port))
    assert lines["port"].startswith("failed")
    assert f"127.0.0.1:{port}" in lines["port"]
    assert "--port" in lines["port"]


def test_the_bundled_model_may_be_named():
    _, lines = checked("--model", "bundled", "--port", "0")
    assert lines["artifact"].startswith("ok")


def test_a_missing_artifact_fails_with_its_path(tmp_path):
    _, lines = checked("--model", str(tmp_path / "none"), "--port", "0")
    assert lines["artifact"].startswith("failed")
    assert str(tmp_path) in lines["artifact"]


def test_windows_that_would_not_advance_fail_the_check_of_the_artifact():
    _, lines = checked("--overflow", "windows", "--window-overlap-tokens", "510", "--port", "0")
    assert lines["artifact"].startswith("failed")
    assert "window_overlap_tokens is 510" in lines["artifact"]
