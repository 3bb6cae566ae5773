"""Each way not to get in is one clear line, at once, with an exit code of its own; and no secret is in it."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from kafka_access import Access, Settings
from oauth_tokens import TokenEndpoint
from secured_kafka import PASSWORD, Authority
from worker_process import Workers

from worker import settings as worker_settings
from worker.errors import AccessError, BrokerError, ExitCode, UnreachableError, UsageError
from worker.kafka.topics import ensure_topics

WRONG = "not the password"


async def refusal(settings: Settings, start_timeout_s: float = 60.0) -> Exception:
    """What the start of a worker with these settings ends with."""
    chosen = worker_settings.Settings(start_timeout_s=start_timeout_s, **settings)
    with pytest.raises((AccessError, BrokerError, UnreachableError, UsageError)) as raised:
        await ensure_topics(chosen)
    line = str(raised.value)
    assert "\n" not in line
    for secret in (PASSWORD, WRONG, "s3cret"):
        assert secret not in line
    return raised.value


def without(settings: Settings, *names: str) -> Settings:
    return {name: value for name, value in settings.items() if name not in names}


REFUSED: dict[str, tuple[Callable[[Access], Settings], str]] = {
    "a wrong password of PLAIN": (lambda access: access.plain(WRONG), "refuses user worker with PLAIN"),
    "a wrong password of SCRAM": (
        lambda access: access.scram("SCRAM-SHA-512", "nobody", WRONG),
        "refuses the user in sasl_username_file .*user with SCRAM-SHA-512 .*invalid credentials.*check user and",
    ),
    "a token that has expired": (
        lambda access: access.token("worker", -300),
        "refuses this worker with the token in oauth_token_file .*token, which expired 30. s ago",
    ),
    "something that is no token": (
        lambda access: {**access.token("worker"), "oauth_token_file": access.file("token", WRONG)},
        "refuses this worker with the token in oauth_token_file .*check that the token is valid",
    ),
    "another CA": (
        lambda access: {**access.tls(), "ssl_ca_file": Authority(access.folder / "other").ca_file},
        "certificate is not signed by those of ssl_ca_file .*ca.pem",
    ),
    "no CA": (lambda access: without(access.tls(), "ssl_ca_file"), "none that this machine trusts .*set ssl_ca_file"),
    "another name": (lambda access: access.tls("STRANGER"), "not for this name .*switch ssl_check_hostname off"),
    "no certificate of its own": (lambda access: access.tls("MUTUAL"), "wants one .*check ssl_certificate_file"),
    "a certificate of another CA": (
        lambda access: {
            **access.tls("MUTUAL"),
            **dict(zip(("ssl_certificate_file", "ssl_key_file"), foreign(access), strict=True)),
        },
        "does not accept this client's certificate, .*check ssl_certificate_file",
    ),
    "plain text where TLS is spoken": (
        lambda access: {"bootstrap_servers": access.kafka.at("TLS")},
        "speaks TLS there; set security_protocol to SSL or SASL_SSL",
    ),
    "SASL in plain text where TLS is spoken": (
        lambda access: {**without(access.plain(), "ssl_ca_file"), "security_protocol": "SASL_PLAINTEXT"},
        "speaks TLS there; set security_protocol to SASL_SSL",
    ),
    "TLS where it is not spoken": (
        lambda access: {**access.tls(), "bootstrap_servers": access.kafka.servers},
        "speaks no TLS there; check security_protocol and the port",
    ),
    "SASL where it is not asked for": (
        lambda access: {**access.plain(), "bootstrap_servers": access.kafka.at("TLS")},
        "asks for no SASL there; set security_protocol to SSL",
    ),
    "no SASL where it is asked for": (
        lambda access: {"bootstrap_servers": access.kafka.at("CLEAR")},
        r"asks for SASL there \(PLAIN\); set security_protocol to SASL_PLAINTEXT",
    ),
    "no SASL where it is asked for, encrypted": (
        lambda access: access.tls("SASL"),
        r"asks for SASL there \(.*OAUTHBEARER.*\); set security_protocol to SASL_SSL",
    ),
    "a mechanism that is not offered": (
        lambda access: {
            **without(access.scram("SCRAM-SHA-256", "nobody", WRONG), "ssl_ca_file"),
            "security_protocol": "SASL_PLAINTEXT",
            "bootstrap_servers": access.kafka.at("CLEAR"),
        },
        r"does not offer sasl_mechanism SCRAM-SHA-256 there \(but PLAIN\)",
    ),
}


def foreign(access: Access) -> tuple[Path, Path]:
    return Authority(access.folder / "foreign").issue("worker@example.org", name="worker")


@pytest.mark.parametrize("kind", REFUSED)
async def test_not_let_in_at_once_with(kind: str, access: Access) -> None:
    make, pattern = REFUSED[kind]
    error = await refusal(make(access))
    assert isinstance(error, AccessError)
    assert error.exit_code == ExitCode.ACCESS
    assert re.search(pattern, str(error)), str(error)


async def test_a_token_end_point_that_does_not_know_the_client(access: Access, endpoint: TokenEndpoint) -> None:
    error = await refusal({**access.endpoint(endpoint), "oauth_client_secret_file": access.file("secret", WRONG)})
    assert isinstance(error, AccessError)
    assert str(error).endswith(f"oauth_token_url {endpoint.url} refuses this client (401 invalid_client)")


async def test_a_token_end_point_with_a_certificate_of_another_ca(access: Access, endpoint: TokenEndpoint) -> None:
    other = Authority(access.folder / "other").ca_file
    error = await refusal({**access.endpoint(endpoint), "oauth_ca_file": other})
    assert isinstance(error, AccessError)
    assert re.search(f"{endpoint.url} shows a certificate .*not signed by those of oauth_ca_file", str(error))


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ((503, b"later"), r"refuses this client \(503\)"),
        ((200, b"<html>"), "its answer holds no token"),
        ((200, b'{"access_token": 7}'), "its answer holds no token"),
    ],
)
async def test_a_token_end_point_that_does_not_work_is_asked_again(
    answer: tuple[int, bytes], reason: str, access: Access, endpoint: TokenEndpoint
) -> None:
    endpoint.answer = answer
    error = await refusal(access.endpoint(endpoint), start_timeout_s=3)
    assert isinstance(error, UnreachableError)
    assert re.search(f"oauth_token_url {endpoint.url} .*{reason}", str(error)), str(error)


async def test_a_redirection_of_the_token_end_point_is_not_followed(access: Access, endpoint: TokenEndpoint) -> None:
    endpoint.answer = (302, b"")
    error = await refusal(access.endpoint(endpoint))
    assert isinstance(error, AccessError)
    assert "(302)" in str(error)


async def test_a_token_end_point_that_is_away_is_asked_again(access: Access, endpoint: TokenEndpoint) -> None:
    settings = {**access.endpoint(endpoint), "oauth_token_url": "https://127.0.0.1:1/token"}
    error = await refusal(settings, start_timeout_s=3)
    assert isinstance(error, UnreachableError)
    assert "oauth_token_url https://127.0.0.1:1/token cannot be reached (Connection refused)" in str(error)


async def test_a_worker_with_a_wrong_password_ends_at_once(workers: Workers, access: Access) -> None:
    settings = access.plain(WRONG)
    worker = workers.start(str(settings.pop("bootstrap_servers")), special="free", **settings)
    assert await worker.ended() == ExitCode.ACCESS
    (line,) = worker.errors
    assert "refuses user worker with PLAIN" in line
    assert "Traceback" not in worker.output
    assert WRONG not in worker.output
