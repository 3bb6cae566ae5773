"""Tokens that a broker takes unsecured, and an end point that issues them."""

from __future__ import annotations

import base64
import json
import ssl
import threading
import time
import urllib.parse
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


def unsecured_token(subject: str, life_s: float) -> str:
    """A JSON Web Token without a signature (RFC 7515, appendix A.5)."""
    now = time.time()
    claims = {"sub": subject, "iat": now - 600, "exp": now + life_s}
    return f"{_encoded({'alg': 'none'})}.{_encoded(claims)}."


@dataclass
class TokenEndpoint:
    """Issues tokens for `subject` to whoever knows the secret."""

    subject: str
    life_s: float = 300.0
    client_id: str = "a client: with a colon"
    client_secret: str = "s3cret/+="
    scope: str = "kafka"
    url: str = ""
    answer: tuple[int, bytes] | None = None
    """Status and body for everybody, instead of a token."""
    redirects_to: str = ""
    """Where a status of redirection sends everybody."""
    asked: int = 0
    """How often, by anybody."""
    requests: list[dict[str, str]] = field(default_factory=list)
    """The forms that came in with the right secret."""

    def respond(self, authorization: str, form: dict[str, str]) -> tuple[int, bytes]:
        """What a request is answered with."""
        self.asked += 1
        if self.answer is not None:
            return self.answer
        scheme, _, pair = authorization.partition(" ")
        given = [urllib.parse.unquote_plus(part) for part in base64.b64decode(pair).decode().split(":")]
        if scheme != "Basic" or given != [self.client_id, self.client_secret]:
            said = {"error": "invalid_client", "error_description": f"no {given}"}
            return 401, json.dumps(said).encode()
        self.requests.append(form)
        token = {
            "access_token": unsecured_token(self.subject, self.life_s),
            "token_type": "Bearer",
            "expires_in": self.life_s,
        }
        return 200, json.dumps(token).encode()


@contextmanager
def token_endpoint(
    endpoint: TokenEndpoint, certificate: Path | None = None, key: Path | None = None
) -> Iterator[TokenEndpoint]:
    """Serve it on a free port of this machine: over https, or over http without a certificate."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            status, answer = endpoint.respond(self.headers["Authorization"], dict(urllib.parse.parse_qsl(body)))
            self.send_response(status)
            if 300 <= status < 400:
                self.send_header("Location", endpoint.redirects_to or f"{endpoint.url}/elsewhere")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def do_GET(self) -> None:
            endpoint.asked += 1  # a client that follows a redirection may ask so
            self.send_error(405)

        def log_message(self, *args: object) -> None:
            """Nobody reads it."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate, key)
            server.socket = context.wrap_socket(server.socket, server_side=True)
        endpoint.url = f"http{'s' if certificate else ''}://127.0.0.1:{server.server_address[1]}/token"
        serving = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        serving.start()
        try:
            yield endpoint
        finally:
            server.shutdown()
            serving.join()


def _encoded(members: dict[str, object]) -> str:
    return base64.urlsafe_b64encode(json.dumps(members).encode()).decode().rstrip("=")
