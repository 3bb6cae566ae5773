"""A hub on this machine that speaks what ``huggingface_hub`` needs to list a repository and to fetch its files.

The paths, headers and error codes are those of https://huggingface.co: ``/api/models/ID/revision/REV`` lists, and
``/ID/resolve/REV/FILE`` has ``ETag``, ``X-Repo-Commit`` and ``Content-Length``; ``X-Error-Code`` says what went wrong.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import unquote, urlsplit

API = "/api/models/"
RESOLVE = "/resolve/"


@dataclass
class Repository:
    """One repository: commits, and branches and tags that name them."""

    commits: dict[str, Mapping[str, bytes]] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)
    token: str | None = None
    """Who asks without it is told that there is no such repository, as the real hub does."""
    gated: bool = False
    """Whether anybody sees the list of files, and only the token fetches one."""

    def commit(self, files: Mapping[str, bytes], *names: str) -> str:
        """Add a commit; answers its hash."""
        content = json.dumps({name: hashlib.sha1(data).hexdigest() for name, data in sorted(files.items())})
        commit = hashlib.sha1(content.encode()).hexdigest()
        self.commits[commit] = dict(files)
        self.names |= dict.fromkeys(names or ("main",), commit)
        return commit

    def resolve(self, revision: str) -> str | None:
        """The commit that a branch, a tag or a commit names."""
        return revision if revision in self.commits else self.names.get(revision)


class FakeHub(ThreadingHTTPServer):
    """Serves `repositories` on a free port of 127.0.0.1, and remembers what it was asked."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.repositories: dict[str, Repository] = {}
        self.fetched: list[str] = []
        """Names of the files that were sent, in order."""
        self.tokens: set[str | None] = set()
        """All that anybody has shown."""
        self.status: int | None = None
        """Answers everything with this status where it is set."""

    @property
    def endpoint(self) -> str:
        """What goes into ``HF_ENDPOINT``."""
        return f"http://127.0.0.1:{self.server_address[1]}"

    def add(self, name: str, folder: Path, **options: Any) -> Repository:
        """A repository whose main branch has the files of `folder`."""
        repository = self.repositories[name] = Repository(**options)
        repository.commit(files_of(folder))
        return repository


def files_of(folder: Path) -> dict[str, bytes]:
    """All files of `folder` by their names inside it."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@contextmanager
def running_hub() -> Iterator[FakeHub]:
    """A hub that answers as long as the block runs."""
    with FakeHub() as hub:
        thread = Thread(target=hub.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        try:
            yield hub
        finally:
            hub.shutdown()
            thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: FakeHub

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Keep quiet."""

    def _answer(self) -> None:
        authorization = self.headers.get("Authorization")
        token = authorization.removeprefix("Bearer ") if authorization else None
        self.server.tokens.add(token)
        path = unquote(urlsplit(self.path).path)
        if self.server.status is not None:
            return self._send(self.server.status)
        if path.startswith(API):
            name, _, revision = path.removeprefix(API).partition("/revision/")
        else:
            name, _, rest = path.removeprefix("/").partition(RESOLVE)
            revision, _, file = rest.partition("/")
        repository = self.server.repositories.get(name)
        allowed = repository is not None and repository.token in (None, token)
        if repository is None or not (allowed or repository.gated):
            return self._send(401 if token is None else 404, {"X-Error-Code": "RepoNotFound"})
        commit = repository.resolve(revision)
        if commit is None:
            return self._send(404, {"X-Error-Code": "RevisionNotFound"})
        if path.startswith(API):
            return self._send(200, {"Content-Type": "application/json"}, _listing(name, repository, commit))
        if not allowed:
            return self._send(401 if token is None else 403, {"X-Error-Code": "GatedRepo"})
        return self._send_file(repository.commits[commit], commit, file)

    def _send_file(self, files: Mapping[str, bytes], commit: str, file: str) -> None:
        headers = {"X-Repo-Commit": commit}
        if file not in files:
            return self._send(404, headers | {"X-Error-Code": "EntryNotFound"})
        if self.command == "GET":
            self.server.fetched.append(file)
        etag = hashlib.sha256(files[file]).hexdigest()
        return self._send(200, headers | {"ETag": f'"{etag}"', "Accept-Ranges": "bytes"}, files[file])

    def _send(self, status: int, headers: Mapping[str, str] | None = None, body: bytes = b"") -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


def _listing(name: str, repository: Repository, commit: str) -> bytes:
    siblings = [{"rfilename": file} for file in sorted(repository.commits[commit])]
    return json.dumps({"_id": "1", "id": name, "sha": commit, "siblings": siblings}).encode()
