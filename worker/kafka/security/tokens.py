"""Tokens for OAUTHBEARER: out of a file, or from a token end point by client credentials (RFC 6749, 4.4)."""

from __future__ import annotations

import asyncio
import base64
import http.client
import json
import re
import ssl
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from aiokafka.abc import AbstractTokenProvider

from worker.errors import UsageError
from worker.kafka.security.failures import ConnectError
from worker.kafka.security.files import SettingFile
from worker.kafka.security.tls import TlsFiles
from worker.settings.security import LOOPBACK

TIMEOUT_S = 10.0
RETRY_PAUSE_S = 1.0
"""An end point that has just failed is not asked again: each connection of each client would."""
MOST_BYTES = 1_000_000
LONGEST_MARGIN_S = 60.0
MARGIN_SHARE = 0.2
"""A token is used until this share of its life is left, or `LONGEST_MARGIN_S`, whichever is less."""
_MAY_PASS = (408, 425, 429)
"""Of the 4xx; the 5xx may pass too."""


class FileToken(AbstractTokenProvider):  # type: ignore[misc]  # aiokafka's types are Any here and below
    """The token in a file, read anew for each connection."""

    def __init__(self, file: SettingFile) -> None:
        self._file = file

    async def token(self) -> str:
        """Raises UsageError when there is none."""
        return self._file.read_text().strip()

    def remark(self) -> str:
        """What to say of the token when it is refused."""
        try:
            ago_s = time.time() - _expires_at(self._file.read_text())
        except (ValueError, UsageError):
            return f"with the token in {self._file}"
        return f"with the token in {self._file}" + (f", which expired {ago_s:.0f} s ago" if ago_s > 0 else "")


@dataclass(frozen=True, slots=True)
class TokenEndpoint:
    """Where tokens are to be had, and as whom."""

    url: str
    client_id: str
    client_secret: SettingFile
    scope: str | None
    ca: SettingFile | None

    def fetch(self) -> tuple[str, float]:
        """A token, and its life in seconds (0 when that is not said). Blocks.

        Raises ConnectError, and UsageError for the files.
        """
        handlers: list[urllib.request.BaseHandler] = [
            urllib.request.HTTPSHandler(context=TlsFiles(ca=self.ca).context()),
            _NoRedirects(),
        ]
        if not self._may_have_a_proxy():
            handlers.append(urllib.request.ProxyHandler({}))
        try:
            with urllib.request.build_opener(*handlers).open(self._request(), timeout=TIMEOUT_S) as answer:
                body = answer.read(MOST_BYTES)
        except urllib.error.HTTPError as error:
            passes = error.code in _MAY_PASS or error.code >= 500
            raise self._failure(f"refuses this client ({_said(error)})", hopeless=not passes) from None
        except urllib.error.URLError as error:
            if isinstance(error.reason, ssl.SSLCertVerificationError):
                signed = f"by those of {self.ca}" if self.ca else "by any that this machine trusts; set oauth_ca_file"
                said = error.reason.verify_message.rstrip(".")
                text = f"shows a certificate that is not valid for it, or not signed {signed} ({said})"
                raise self._failure(text, hopeless=True) from None
            reason = getattr(error.reason, "strerror", None) or error.reason
            raise self._failure(f"cannot be reached{self._way()} ({reason})", hopeless=False) from None
        except (OSError, ValueError, http.client.HTTPException) as error:
            # An error of these may quote what was sent or answered.
            reason = "no answer in time" if isinstance(error, TimeoutError) else type(error).__name__
            raise self._failure(f"does not work{self._way()} ({reason})", hopeless=False) from None
        try:
            return _read(body)
        except ValueError:
            raise self._failure("does not work (its answer holds no token)", hopeless=False) from None

    def _may_have_a_proxy(self) -> bool:
        """Over https a proxy sees the name of the host and nothing else; over http it would see the client's secret."""
        parts = urllib.parse.urlsplit(self.url)
        return parts.scheme == "https" and parts.hostname not in LOOPBACK

    def _way(self) -> str:
        bypassed = urllib.request.proxy_bypass(urllib.parse.urlsplit(self.url).netloc)
        if bypassed or not self._may_have_a_proxy() or not urllib.request.getproxies().get("https"):
            return ""
        return " through the proxy that https_proxy names"

    def _request(self) -> urllib.request.Request:
        form = {"grant_type": "client_credentials", **({"scope": self.scope} if self.scope else {})}
        # RFC 6749, 2.3.1: each of the two is encoded as in a form first.
        pair = ":".join(urllib.parse.quote_plus(part) for part in (self.client_id, self.client_secret.read_text()))
        return urllib.request.Request(  # noqa: S310 - https, or http to this machine
            self.url,
            data=urllib.parse.urlencode(form).encode(),
            headers={
                "Authorization": f"Basic {base64.b64encode(pair.encode()).decode()}",
                "Accept": "application/json",
            },
        )

    def _failure(self, text: str, *, hopeless: bool) -> ConnectError:
        return ConnectError(f"oauth_token_url {self.url} {text}", hopeless=hopeless)


class FetchedToken(AbstractTokenProvider):  # type: ignore[misc]
    """The token of an end point, kept until shortly before it expires. For any number of event loops."""

    def __init__(self, endpoint: TokenEndpoint, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._endpoint = endpoint
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._token = ""
        self._until = float("-inf")
        self._failed_at = float("-inf")
        self._failure = ConnectError("", hopeless=False)

    async def token(self) -> str:
        """Raises what `TokenEndpoint.fetch` does."""
        return await asyncio.to_thread(self._current)

    def _current(self) -> str:
        with self._lock:
            asked_at = self._monotonic()
            if asked_at < self._until:
                return self._token
            if asked_at < self._failed_at + RETRY_PAUSE_S:
                raise ConnectError(self._failure.text, hopeless=self._failure.hopeless)
            try:
                self._token, life_s = self._endpoint.fetch()
            except ConnectError as error:
                self._failed_at, self._failure = self._monotonic(), error
                raise
            self._until = asked_at + life_s - min(LONGEST_MARGIN_S, MARGIN_SHARE * life_s)
            return self._token

    def remark(self) -> str:
        """What to say of the token when it is refused."""
        return f"with a token from {self._endpoint.url}"


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """A redirection would take the client's secret elsewhere."""

    def redirect_request(self, *args: Any, **kwargs: Any) -> None:
        return None


def _read(body: bytes) -> tuple[str, float]:
    """Token and life out of an answer; raises ValueError."""
    try:
        members = json.loads(body)
        token, life_s = members["access_token"], float(members.get("expires_in") or 0)
    except (KeyError, TypeError, AttributeError):
        raise ValueError("no token") from None
    if not isinstance(token, str) or not re.fullmatch(r"[!-~]+", token):
        raise ValueError("no token")
    return token, max(0.0, life_s)


def _expires_at(token: str) -> float:
    """The claim ``exp`` of a JSON Web Token, in seconds since the epoch; raises ValueError for any other token."""
    claims = token.strip().split(".")[1:2]
    try:
        text = base64.urlsafe_b64decode("".join(claims) + "==")
        return float(json.loads(text)["exp"])
    except (ValueError, KeyError, TypeError):
        raise ValueError("no expiry") from None


def _said(error: urllib.error.HTTPError) -> str:
    """Status and the standard's own word (RFC 6749, 5.2); nothing else of an answer, which may quote what was sent."""
    try:
        word = json.loads(error.read(MOST_BYTES)).get("error", "")
    except (ValueError, OSError, AttributeError):
        word = ""
    return f"{error.code} {word}" if isinstance(word, str) and re.fullmatch("[a-z_]{1,40}", word) else str(error.code)
