"""Files that will not do are one line that names setting and file, and never what is in them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from secured_kafka import Authority

from worker.errors import ExitCode, UsageError
from worker.extras import install_command
from worker.kafka.security import client_options, described
from worker.settings import Settings

SECRET = "hidden"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


def fault(**settings: object) -> str:
    with pytest.raises(UsageError) as raised:
        client_options(Settings(**settings))
    assert raised.value.exit_code == ExitCode.USAGE
    line = str(raised.value)
    assert SECRET not in line
    assert "\n" not in line
    return line


def missing(path: Path) -> None:
    """Nothing is there."""


def empty(path: Path) -> None:
    path.write_text(" \n")


def folder(path: Path) -> None:
    path.mkdir()


def not_text(path: Path) -> None:
    path.write_bytes(b"\xffhidden")


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (missing, "cannot be read (No such file or directory)"),
        (folder, "cannot be read (Is a directory)"),
        (empty, "is empty"),
        (not_text, "is no text in UTF-8"),
    ],
)
def test_a_secret_that_cannot_be_had(make: Callable[[Path], None], reason: str, tmp_path: Path) -> None:
    file = tmp_path / "secret"
    make(file)
    sasl = {"security_protocol": "SASL_PLAINTEXT"}
    user = {"sasl_mechanism": "SCRAM-SHA-256", "sasl_username": "u"}
    assert fault(**sasl, **user, sasl_password_file=file) == f"sasl_password_file {file} {reason}"
    assert fault(**sasl, sasl_mechanism="OAUTHBEARER", oauth_token_file=file) == f"oauth_token_file {file} {reason}"
    endpoint = {"oauth_token_url": "https://login.example/", "oauth_client_id": "c", "oauth_client_secret_file": file}
    assert fault(**sasl, sasl_mechanism="OAUTHBEARER", **endpoint) == f"oauth_client_secret_file {file} {reason}"


def test_certificates_that_are_none(authority: Authority, tmp_path: Path) -> None:
    nonsense = tmp_path / "nonsense.pem"
    nonsense.write_text(f"{SECRET}\n")
    certificate, key = authority.issue("worker@example.org", name="worker")
    tls = {"security_protocol": "SSL"}
    assert fault(**tls, ssl_ca_file=nonsense) == f"ssl_ca_file {nonsense} holds no certificate in PEM form"
    assert (
        fault(**tls, ssl_certificate_file=nonsense, ssl_key_file=key)
        == f"ssl_certificate_file {nonsense} holds no certificate in PEM form"
    )
    assert (
        fault(**tls, ssl_certificate_file=certificate, ssl_key_file=nonsense)
        == f"ssl_key_file {nonsense} holds no key in PEM form"
    )
    gone = tmp_path / "gone"
    assert fault(**tls, ssl_ca_file=gone) == f"ssl_ca_file {gone} cannot be read (No such file or directory)"


def test_a_key_that_does_not_fit(authority: Authority, tmp_path: Path) -> None:
    certificate, _ = authority.issue("worker@example.org", name="worker")
    _, other = authority.issue("worker@example.org", name="worker")
    line = fault(security_protocol="SSL", ssl_certificate_file=certificate, ssl_key_file=other)
    assert line == f"ssl_key_file {other} is not the key of ssl_certificate_file {certificate}"


def test_the_password_of_a_key(authority: Authority, tmp_path: Path) -> None:
    certificate, key = authority.issue("worker@example.org", name="worker", password="the right one")
    shown = {"security_protocol": "SSL", "ssl_certificate_file": certificate, "ssl_key_file": key}
    assert fault(**shown) == f"ssl_key_file {key} is encrypted; set ssl_key_password_file"
    password = tmp_path / "password"
    password.write_text(SECRET)
    assert (
        fault(**shown, ssl_key_password_file=password)
        == f"ssl_key_password_file {password} is not the password of ssl_key_file {key}"
    )
    password.write_text("the right one\n")
    assert client_options(Settings(**shown, ssl_key_password_file=password))


def test_gssapi_without_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    import importlib.util

    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    line = fault(security_protocol="SASL_PLAINTEXT", sasl_mechanism="GSSAPI")
    assert line == f"sasl_mechanism GSSAPI needs the extra kerberos: {install_command('kerberos')}"


def test_no_secret_is_in_what_a_client_is_made_with_nor_in_words(tmp_path: Path) -> None:
    password, user = tmp_path / "password", tmp_path / "user"
    password.write_text(SECRET)
    user.write_text("somebody\n")
    settings = Settings(
        security_protocol="SASL_PLAINTEXT",
        sasl_mechanism="PLAIN",
        sasl_username_file=user,
        sasl_password_file=password,
    )
    options = client_options(settings)
    assert SECRET not in f"{settings!r} {options!r} {described(settings)}"
    assert described(settings) == "SASL_PLAINTEXT, PLAIN as somebody"


def test_words_for_each_way() -> None:
    assert described(Settings()) == "PLAINTEXT"
    assert described(Settings(security_protocol="SSL", ssl_check_hostname=False)) == (
        "SSL, brokers signed by those that this machine trusts, whatever their names"
    )
    token = Settings(security_protocol="SASL_PLAINTEXT", sasl_mechanism="OAUTHBEARER", oauth_token_file="/run/t")
    assert described(token) == "SASL_PLAINTEXT, OAUTHBEARER, token in /run/t"
    kerberos = Settings(security_protocol="SASL_PLAINTEXT", sasl_mechanism="GSSAPI")
    assert described(kerberos) == "SASL_PLAINTEXT, GSSAPI to service kafka"
