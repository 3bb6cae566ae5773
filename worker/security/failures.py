"""Why a connection could not be opened, in one line for a person; pure."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping
from typing import Any

from aiokafka.errors import (
    IllegalSaslStateError,
    KafkaConnectionError,
    SaslAuthenticationFailed,
    UnsupportedSaslMechanismError,
)

from worker.errors import ExhaustedError, WorkerError
from worker.security.files import SettingFile
from worker.security.tls import RenewedContext

HOSTNAME_CODES = (62, 63, 64)
"""OpenSSL's X509_V_ERR_HOSTNAME_MISMATCH, _EMAIL_MISMATCH and _IP_ADDRESS_MISMATCH."""
EXPIRED_CODES = (9, 10)
TLS_RECORDS = range(0x14030000, 0x18040000)
"""A TLS record (RFC 8446, 5.1) where a client that knows nothing of TLS expects the length of a response."""
NO_KDC = (2529639068, 2529639066)
"""krb5's KRB5_KDC_UNREACH and KRB5_REALM_UNKNOWN without their sign: the second one passes with DNS."""
NO_TLS = "the broker speaks no TLS there; check security_protocol and the port"
CERTIFICATE_ALERTS = ("CERTIFICATE", "UNKNOWN_CA", "HANDSHAKE_FAILURE", "ACCESS_DENIED")

Options = Mapping[str, Any]
"""What aiokafka opens a connection with."""


class ConnectError(KafkaConnectionError):  # type: ignore[misc]  # aiokafka's types are Any
    """A connection that could not be opened. One of aiokafka's own errors, since it is raised inside of aiokafka."""

    def __init__(self, text: str, *, hopeless: bool, used_up: ExhaustedError | None = None) -> None:
        super().__init__(text)
        self.text = text
        self.hopeless = hopeless
        """Whether a person has to change something before it can work."""
        self.used_up = used_up
        """What is used up on this machine, where that is the reason."""

    def __str__(self) -> str:
        return self.text


def explained(error: BaseException, place: str, options: Options) -> ConnectError:
    """What `error` means, raised by a connection to `place` that was opened with `options`."""
    if isinstance(error, ConnectError):  # of a token; a new one, since an error that is raised again has a history
        return ConnectError(error.text, hopeless=error.hopeless)
    if isinstance(error, WorkerError):  # a file that was there at the start
        return ConnectError(f"{place}: {error}", hopeless=False)
    hopeless, text = _of_sasl(error, options) or _of_tls(error, options) or _of_network(error)
    return ConnectError(f"{place}: {text}", hopeless=hopeless)


def closed_by_broker(error: BaseException) -> bool:
    """Whether the broker has closed the connection without a word: it may not speak what we do."""
    ends = (EOFError, ConnectionError, ssl.SSLEOFError, ssl.SSLZeroReturnError)
    return any(isinstance(each, ends) for each in _chain(error)) and not any(
        isinstance(each, ConnectionRefusedError) for each in _chain(error)
    )


def _of_sasl(error: BaseException, options: Options) -> tuple[bool, str] | None:
    mechanism = options.get("sasl_mechanism")
    if isinstance(error, UnsupportedSaslMechanismError):
        return True, f"the broker does not offer sasl_mechanism {mechanism} there"
    if isinstance(error, IllegalSaslStateError):
        protocol = str(options["security_protocol"]).removeprefix("SASL_")
        return True, f"the broker asks for no SASL there; set security_protocol to {protocol}, or take another port"
    if isinstance(error, SaslAuthenticationFailed):
        said = "; ".join(str(part) for part in error.args if part)
        return True, f"the broker refuses {_who(options)}{f' ({said})' if said else ''}; check {_what(mechanism)}"
    if type(error).__module__.startswith("gssapi"):
        passes = getattr(error, "min_code", 0) in NO_KDC
        return not passes, f"GSSAPI failed ({' '.join(str(error).split())}); check keytab, KRB5_CONFIG and the KDC"
    if type(error) is ValueError and str(mechanism).startswith("SCRAM"):  # aiokafka's word for a wrong signature
        return True, f"the broker does not prove that it knows the password of {_who(options)} ({error})"
    return None


def _of_tls(error: BaseException, options: Options) -> tuple[bool, str] | None:
    for cause in _chain(error):
        if isinstance(cause, ssl.SSLCertVerificationError):
            return True, _of_certificate(cause, options)
        if isinstance(cause, asyncio.IncompleteReadError) and cause.expected in TLS_RECORDS:
            wanted = "SASL_SSL" if "SASL" in str(options["security_protocol"]) else "SSL or SASL_SSL"
            return True, f"the broker speaks TLS there; set security_protocol to {wanted}, or take another port"
        if isinstance(cause, ssl.SSLError) and cause.reason:
            if cause.reason == "WRONG_VERSION_NUMBER":
                return True, NO_TLS
            if "ALERT" in cause.reason and any(part in cause.reason for part in CERTIFICATE_ALERTS):
                return True, (
                    f"the broker does not accept this client's certificate, or wants one ({_alert(cause)});"
                    " check ssl_certificate_file"
                )
    return None


def _of_certificate(error: ssl.SSLCertVerificationError, options: Options) -> str:
    said = error.verify_message.rstrip(".")
    if error.verify_code in HOSTNAME_CODES:
        return (
            f"the broker's certificate is not for this name ({said}); connect by a name that is in it,"
            " or switch ssl_check_hostname off"
        )
    if error.verify_code in EXPIRED_CODES:
        return f"the broker's certificate is not valid now ({said}); it has to be renewed"
    context = options.get("ssl_context")
    ca = context.files.ca if isinstance(context, RenewedContext) else None
    if ca is None:
        return f"the broker's certificate is signed by none that this machine trusts ({said}); set ssl_ca_file"
    return f"the broker's certificate is not signed by those of {ca} ({said})"


def _of_network(error: BaseException) -> tuple[bool, str]:
    if isinstance(error, ConnectionRefusedError):
        return False, "connection refused"
    if isinstance(error, TimeoutError):
        return False, "no answer in time"
    if closed_by_broker(error):
        return False, "the broker closes the connection; check security_protocol and the port if it goes on"
    if isinstance(error, OSError):
        return False, error.strerror or str(error) or type(error).__name__
    return False, f"{type(error).__name__}: {error}".rstrip(": ")


def _who(options: Options) -> str:
    mechanism = options.get("sasl_mechanism")
    user, tokens = options.get("sasl_plain_username"), options.get("sasl_oauth_token_provider")
    if tokens is not None:
        return f"this worker {tokens.remark()}"
    if isinstance(user, SettingFile):
        return f"the user in {user} with {mechanism}"
    return f"user {user} with {mechanism}" if user else f"this worker with {mechanism}"


def _what(mechanism: object) -> str:
    if mechanism == "OAUTHBEARER":
        return "that the token is valid, and meant for this broker"
    return "the principal" if mechanism == "GSSAPI" else "user and password"


def _alert(error: ssl.SSLError) -> str:
    return str(error.reason).partition("ALERT_")[2].replace("_", " ").lower()


def _chain(error: BaseException) -> list[BaseException]:
    seen: list[BaseException] = []
    cause: BaseException | None = error
    while cause is not None and not any(cause is each for each in seen):
        seen.append(cause)
        cause = cause.__cause__ or cause.__context__
    return seen
