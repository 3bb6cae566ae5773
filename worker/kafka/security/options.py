"""What a Kafka client is made with, from the settings: the one owner of that."""

from __future__ import annotations

import functools
import importlib.util
from pathlib import Path
from typing import Any

from worker.errors import UsageError
from worker.extras import install_command
from worker.kafka.security import attempts, bootstrap, connections
from worker.kafka.security.files import SettingFile
from worker.kafka.security.tls import TlsFiles, renewed_context
from worker.kafka.security.tokens import FetchedToken, FileToken, TokenEndpoint
from worker.settings import SecuritySettings, Settings
from worker.settings.security import WITH_PASSWORD, uses_sasl, uses_tls


def client_options(settings: Settings) -> dict[str, Any]:
    """The arguments of any client of aiokafka that say where the brokers are and how to get in.

    Secrets are not in it, only where to read them. Raises UsageError when a file cannot be read or does not fit.
    """
    connections.install()
    bootstrap.install()
    attempts.start_from(settings.bootstrap_servers)
    options: dict[str, Any] = {
        "bootstrap_servers": settings.bootstrap_servers,
        "security_protocol": settings.security_protocol,
    }
    if uses_tls(settings.security_protocol):
        options["ssl_context"] = renewed_context(_tls_files(settings))
    if uses_sasl(settings.security_protocol):
        options["sasl_mechanism"] = settings.sasl_mechanism
        options |= _of_mechanism(settings)
    return options


def described(settings: Settings) -> str:
    """How the worker gets in, in words: protocol, mechanism and user. Raises UsageError where a file cannot be read."""
    parts: list[str] = [settings.security_protocol]
    if settings.ssl_certificate_file:
        parts.append(f"certificate {settings.ssl_certificate_file}")
    if settings.sasl_mechanism:
        parts.append(f"{settings.sasl_mechanism}{_identity(settings)}")
    if uses_tls(settings.security_protocol):
        parts.append(f"brokers signed by {settings.ssl_ca_file or 'those that this machine trusts'}")
        if not settings.ssl_check_hostname:
            parts.append("whatever their names")
    return ", ".join(parts)


def _identity(settings: SecuritySettings) -> str:
    if settings.sasl_mechanism in WITH_PASSWORD:
        user = _user(settings)
        return f" as {user.read_text() if isinstance(user, SettingFile) else user}"
    if settings.sasl_mechanism == "OAUTHBEARER":
        if settings.oauth_token_url:
            return f" as {settings.oauth_client_id}, token from {settings.oauth_token_url}"
        return f", token in {settings.oauth_token_file}"
    return f" to service {settings.kerberos_service_name}"


def _tls_files(settings: SecuritySettings) -> TlsFiles:
    return TlsFiles(
        ca=_file("ssl_ca_file", settings.ssl_ca_file),
        certificate=_file("ssl_certificate_file", settings.ssl_certificate_file),
        key=_file("ssl_key_file", settings.ssl_key_file),
        key_password=_file("ssl_key_password_file", settings.ssl_key_password_file),
        check_hostname=settings.ssl_check_hostname,
    )


def _of_mechanism(settings: SecuritySettings) -> dict[str, Any]:
    if settings.sasl_mechanism == "GSSAPI":
        if importlib.util.find_spec("gssapi") is None:
            raise UsageError(f"sasl_mechanism GSSAPI needs the extra kerberos: {install_command('kerberos')}")
        return {"sasl_kerberos_service_name": settings.kerberos_service_name}
    if settings.sasl_mechanism == "OAUTHBEARER":
        return {"sasl_oauth_token_provider": _token_provider(settings)}
    user, password = _user(settings), _given("sasl_password_file", settings.sasl_password_file)
    for file in (user, password):
        if isinstance(file, SettingFile):
            file.read_text()
    return {"sasl_plain_username": user, "sasl_plain_password": password}


def _user(settings: SecuritySettings) -> str | SettingFile | None:
    return settings.sasl_username or _file("sasl_username_file", settings.sasl_username_file)


def _token_provider(settings: SecuritySettings) -> FileToken | FetchedToken:
    if not settings.oauth_token_url:
        file = _given("oauth_token_file", settings.oauth_token_file)
        file.read_text()
        return FileToken(file)
    secret = _given("oauth_client_secret_file", settings.oauth_client_secret_file)
    ca = _file("oauth_ca_file", settings.oauth_ca_file)
    secret.read_text()
    TlsFiles(ca=ca).context()
    return _shared(
        TokenEndpoint(settings.oauth_token_url, settings.oauth_client_id or "", secret, settings.oauth_scope, ca)
    )


@functools.lru_cache
def _shared(endpoint: TokenEndpoint) -> FetchedToken:
    """One token for all clients."""
    return FetchedToken(endpoint)


def _file(setting: str, path: Path | None) -> SettingFile | None:
    return None if path is None else SettingFile(setting, path)


def _given(setting: str, path: Path | None) -> SettingFile:
    if path is None:
        raise UsageError(f"{setting} is not set")  # `worker.settings.security` has let no such settings through
    return SettingFile(setting, path)
