"""An HTTP proxy on this machine that keeps what it sees."""

from __future__ import annotations

import selectors
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

VARIABLES = ("http_proxy", "https_proxy", "all_proxy")


@dataclass
class RecordingProxy:
    """Answers plain requests with 502, and leads tunnels to `tunnels_to`, whatever host they ask for."""

    url: str = ""
    tunnels_to: tuple[str, int] | None = None
    requests: list[str] = field(default_factory=list)
    """Method and target of each."""
    seen: bytearray = field(default_factory=bytearray)
    """All that clients have sent, what went through tunnels included."""

    @property
    def variables(self) -> dict[str, str]:
        """The usual variables, in lower and in upper case, all naming this proxy."""
        return {cased: self.url for name in VARIABLES for cased in (name, name.upper())}


@contextmanager
def recording_proxy(tunnels_to: tuple[str, int] | None = None) -> Iterator[RecordingProxy]:
    """One that listens as long as the block runs."""
    proxy = RecordingProxy(tunnels_to=tunnels_to)

    class Handler(BaseHTTPRequestHandler):
        def _note(self) -> None:
            proxy.requests.append(f"{self.command} {self.path}")
            proxy.seen += f"{self.requestline}\r\n{self.headers}".encode()

        def do_CONNECT(self) -> None:
            self._note()
            if proxy.tunnels_to is None:
                self.send_error(502)
                return
            with socket.create_connection(proxy.tunnels_to) as there:
                self.send_response(200)
                self.end_headers()
                _carry(self.connection, there, proxy.seen)
            self.close_connection = True

        def do_GET(self) -> None:
            self._note()
            proxy.seen += self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self.send_error(502)

        def do_HEAD(self) -> None:
            self.do_GET()

        def do_POST(self) -> None:
            self.do_GET()

        def log_message(self, *_: object) -> None:
            """Nothing: the test reads what was seen."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        proxy.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield proxy
        finally:
            server.shutdown()
            thread.join()


def _carry(client: socket.socket, there: socket.socket, seen: bytearray) -> None:
    """Bytes both ways until one side ends."""
    with selectors.DefaultSelector() as selector:
        selector.register(client, selectors.EVENT_READ, there)
        selector.register(there, selectors.EVENT_READ, client)
        while True:
            for key, _ in selector.select():
                assert isinstance(key.fileobj, socket.socket)
                data = key.fileobj.recv(65536)
                if not data:
                    return
                if key.fileobj is client:
                    seen += data
                key.data.sendall(data)
