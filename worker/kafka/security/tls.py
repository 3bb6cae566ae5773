"""TLS contexts from files, and one that follows its files: who renews a certificate need not start the worker again."""

from __future__ import annotations

import functools
import logging
import ssl
from dataclasses import dataclass
from typing import Any

from worker.errors import UsageError
from worker.kafka.security.files import SettingFile

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """What a TLS context is made of."""

    ca: SettingFile | None = None
    """Without it, what this machine trusts."""
    certificate: SettingFile | None = None
    key: SettingFile | None = None
    key_password: SettingFile | None = None
    check_hostname: bool = True

    @property
    def all(self) -> list[SettingFile]:
        """Those that are given."""
        return [file for file in (self.ca, self.certificate, self.key, self.key_password) if file is not None]

    def context(self) -> ssl.SSLContext:
        """A context of the files as they are now; raises UsageError that names the one that will not do."""
        context = ssl.create_default_context() if self.ca is None else _trusting(self.ca)
        context.check_hostname = self.check_hostname
        if self.certificate is not None and self.key is not None:
            self._show_certificate(context, self.certificate, self.key)
        return context

    def _show_certificate(self, context: ssl.SSLContext, certificate: SettingFile, key: SettingFile) -> None:
        _trusting(certificate)  # a certificate at all
        encrypted = b"ENCRYPTED" in key.read_bytes()
        if encrypted and self.key_password is None:
            raise UsageError(f"{key} is encrypted; set ssl_key_password_file")
        password = self.key_password.read_text() if self.key_password is not None else ""
        try:
            # Without a password OpenSSL would ask for one on the terminal.
            context.load_cert_chain(certificate.path, key.path, lambda: password)
        except (ssl.SSLError, ValueError) as error:
            if getattr(error, "reason", None) == "KEY_VALUES_MISMATCH":
                raise UsageError(f"{key} is not the key of {certificate}") from None
            if encrypted:
                raise UsageError(f"{self.key_password} is not the password of {key}") from None
            raise UsageError(f"{key} holds no key in PEM form") from None


class RenewedContext(ssl.SSLContext):
    """Each connection is made with the files as they are then. While they do not fit each other, as they were before.

    asyncio asks a context for nothing but `wrap_bio`.
    """

    def __new__(cls, files: TlsFiles) -> RenewedContext:
        return super().__new__(cls, ssl.PROTOCOL_TLS_CLIENT)

    def __init__(self, files: TlsFiles) -> None:
        """Raises UsageError, see `TlsFiles.context`."""
        self.files = files
        self._stamp = self._stamp_now()
        self._current = files.context()

    def wrap_bio(self, *args: Any, **kwargs: Any) -> ssl.SSLObject:
        return self._fresh().wrap_bio(*args, **kwargs)

    def _fresh(self) -> ssl.SSLContext:
        stamp = self._stamp_now()
        if stamp != self._stamp:
            self._stamp = stamp
            try:
                self._current = self.files.context()
                logger.info("new certificates are used from here on: %s", ", ".join(map(str, self.files.all)))
            except UsageError as error:
                logger.warning("new certificates cannot be used (%s); connecting with those from before", error)
        return self._current

    def _stamp_now(self) -> list[tuple[int, int, int] | None]:
        return [file.stamp() for file in self.files.all]


@functools.lru_cache
def renewed_context(files: TlsFiles) -> RenewedContext:
    """The context of `files`, one for all clients; raises UsageError, see `TlsFiles.context`."""
    return RenewedContext(files)


def _trusting(file: SettingFile) -> ssl.SSLContext:
    file.read_bytes()  # says clearly what it cannot
    try:
        return ssl.create_default_context(cafile=file.path)
    except ssl.SSLError:
        raise UsageError(f"{file} holds no certificate in PEM form") from None
