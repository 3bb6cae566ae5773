"""Which of the settings of Kafka security belong together; pure."""

from __future__ import annotations

import urllib.parse
from pathlib import Path
from typing import Literal
from typing import Protocol as StructuralType

Protocol = Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"]
Mechanism = Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER", "GSSAPI"]

OF_TLS = ("ssl_ca_file", "ssl_certificate_file", "ssl_key_file", "ssl_key_password_file")
OF_PASSWORDS = ("sasl_username", "sasl_username_file", "sasl_password_file")
OF_TOKEN_URL = ("oauth_client_id", "oauth_client_secret_file", "oauth_scope", "oauth_ca_file")
OF_TOKENS = ("oauth_token_file", "oauth_token_url", *OF_TOKEN_URL)
WITH_PASSWORD = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")
LOOPBACK = ("localhost", "127.0.0.1", "::1")


class Chosen(StructuralType):
    """The settings that are looked at."""

    @property
    def security_protocol(self) -> Protocol: ...
    @property
    def ssl_certificate_file(self) -> Path | None: ...
    @property
    def ssl_key_file(self) -> Path | None: ...
    @property
    def ssl_key_password_file(self) -> Path | None: ...
    @property
    def sasl_mechanism(self) -> Mechanism | None: ...
    @property
    def sasl_username(self) -> str | None: ...
    @property
    def sasl_username_file(self) -> Path | None: ...
    @property
    def sasl_password_file(self) -> Path | None: ...
    @property
    def oauth_token_file(self) -> Path | None: ...
    @property
    def oauth_token_url(self) -> str | None: ...
    @property
    def oauth_client_id(self) -> str | None: ...
    @property
    def oauth_client_secret_file(self) -> Path | None: ...


def uses_tls(protocol: Protocol) -> bool:
    """Whether connections are encrypted."""
    return protocol in ("SSL", "SASL_SSL")


def uses_sasl(protocol: Protocol) -> bool:
    """Whether the client says who it is by a SASL mechanism."""
    return protocol in ("SASL_PLAINTEXT", "SASL_SSL")


def problem(chosen: Chosen) -> str | None:
    """What is wrong with the settings, naming them; None when they fit each other."""
    return _of_tls(chosen) or _of_sasl(chosen)


def _given(chosen: Chosen, names: tuple[str, ...]) -> list[str]:
    return [name for name in names if getattr(chosen, name) is not None]


def _of_tls(chosen: Chosen) -> str | None:
    if not uses_tls(chosen.security_protocol) and (given := _given(chosen, OF_TLS)):
        return f"{given[0]} needs security_protocol SSL or SASL_SSL, not {chosen.security_protocol}"
    if chosen.ssl_certificate_file and not chosen.ssl_key_file:
        return "ssl_certificate_file needs ssl_key_file (the same file, if the key is in it)"
    if chosen.ssl_key_file and not chosen.ssl_certificate_file:
        return "ssl_key_file needs ssl_certificate_file"
    if chosen.ssl_key_password_file and not chosen.ssl_key_file:
        return "ssl_key_password_file needs ssl_key_file"
    return None


def _of_sasl(chosen: Chosen) -> str | None:
    mechanism = chosen.sasl_mechanism
    if mechanism and not uses_sasl(chosen.security_protocol):
        return f"sasl_mechanism needs security_protocol SASL_SSL or SASL_PLAINTEXT, not {chosen.security_protocol}"
    if uses_sasl(chosen.security_protocol) and not mechanism:
        return f"security_protocol {chosen.security_protocol} needs sasl_mechanism"
    if mechanism not in WITH_PASSWORD and (given := _given(chosen, OF_PASSWORDS)):
        return f"{given[0]} needs sasl_mechanism PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512, not {_or_none(mechanism)}"
    if mechanism != "OAUTHBEARER" and (given := _given(chosen, OF_TOKENS)):
        return f"{given[0]} needs sasl_mechanism OAUTHBEARER, not {_or_none(mechanism)}"
    if mechanism in WITH_PASSWORD:
        return _of_password(chosen, str(mechanism))
    return _of_token(chosen) if mechanism == "OAUTHBEARER" else None


def _of_password(chosen: Chosen, mechanism: str) -> str | None:
    if chosen.sasl_username and chosen.sasl_username_file:
        return "sasl_username and sasl_username_file exclude each other"
    if not (chosen.sasl_username or chosen.sasl_username_file):
        return f"sasl_mechanism {mechanism} needs sasl_username or sasl_username_file"
    if not chosen.sasl_password_file:
        return f"sasl_mechanism {mechanism} needs sasl_password_file"
    return None


def _of_token(chosen: Chosen) -> str | None:
    url = chosen.oauth_token_url
    if chosen.oauth_token_file and url:
        return "oauth_token_file and oauth_token_url exclude each other"
    if not (chosen.oauth_token_file or url):
        return "sasl_mechanism OAUTHBEARER needs oauth_token_file or oauth_token_url"
    if not url:
        given = _given(chosen, OF_TOKEN_URL)
        return f"{given[0]} needs oauth_token_url" if given else None
    if not (chosen.oauth_client_id and chosen.oauth_client_secret_file):
        return "oauth_token_url needs oauth_client_id and oauth_client_secret_file"
    return _of_url(url)


def _of_url(url: str) -> str | None:
    try:
        parts = urllib.parse.urlsplit(url)
        host, has_secret = parts.hostname, bool(parts.username or parts.password)
        parts.port  # noqa: B018 - raises ValueError where it is no number
    except ValueError:
        return "oauth_token_url is no address"
    if has_secret:
        return "oauth_token_url holds a user or a password: they belong into oauth_client_id and a file"
    if not host or parts.scheme not in ("https", "http"):
        return "oauth_token_url must begin with https:// and a host"
    if parts.scheme == "http" and host not in LOOPBACK:
        return (
            "oauth_token_url must begin with https://, since the client's secret goes there (http only to this machine)"
        )
    return None


def _or_none(mechanism: str | None) -> str:
    return mechanism or "none"
