"""Fetching files of a Hugging Face repository into the hub's own cache, and what to say where that fails.

``HF_ENDPOINT`` (a mirror), ``HF_TOKEN``, ``HF_HUB_OFFLINE`` and ``HF_HOME`` mean what they mean to the library. A token
is handed to the library and nowhere else: no message of this module quotes a header or an error of the network.
"""

from __future__ import annotations

import errno
import importlib
import os
import sys
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from worker.extras import install_command
from worker.modelkit.convert.checkpoint import SourceOptions
from worker.modelkit.convert.shape import CheckpointError

DEFAULT_ENDPOINT = "https://huggingface.co"
MAIN_BRANCH = "main"
TIMEOUT_S = 30.0
"""For the hub's first answer."""
_TRUE = frozenset({"1", "ON", "YES", "TRUE"})
_NETWORK_LIBRARIES = frozenset({"requests", "urllib3", "httpx", "httpcore", "socket", "ssl"})
"""Whose errors mean that the hub could not be reached."""


@dataclass(frozen=True)
class Snapshot:
    """The files of one commit, in the cache."""

    folder: Path
    commit: str
    names: tuple[str, ...]
    """Of all files in `folder`, which may be more than were asked for."""


def fetch_snapshot(repository: str, options: SourceOptions, needed: Callable[[Collection[str]], list[str]]) -> Snapshot:
    """Fetch what `needed` chooses of the repository's files; nothing that the cache has is fetched again.

    Offline, by the options or by ``HF_HUB_OFFLINE``, the cache alone is asked, and must have all that is needed.
    Raises `CheckpointError`, and lets those of `needed` through with the repository's name.
    """
    try:
        from huggingface_hub import HfApi, snapshot_download
    except ImportError:
        raise CheckpointError(
            f"{repository}: reading a hub repository needs huggingface_hub: {install_command('convert')}"
        ) from None
    offline = options.offline or _says_yes("HF_HUB_OFFLINE") or _says_yes("TRANSFORMERS_OFFLINE")
    endpoint = os.environ.get("HF_ENDPOINT") or None
    revision = options.revision or MAIN_BRANCH
    arguments: dict[str, Any] = {
        "repo_id": repository,
        "revision": revision,
        "token": _checked_token(options.token),
    }
    with _one_line_each(repository, revision, _shown(endpoint or DEFAULT_ENDPOINT), offline=offline):
        wanted = None
        if not offline:
            info = HfApi(endpoint=endpoint).model_info(**arguments, timeout=TIMEOUT_S)
            with _named(repository):
                wanted = needed([file.rfilename for file in info.siblings or ()])
        folder = snapshot_download(
            **arguments,
            cache_dir=Path(options.cache).expanduser() if options.cache else None,
            endpoint=endpoint,
            local_files_only=offline,
            allow_patterns=wanted,
            tqdm_class=_terminal_progress(),
        )
    snapshot = Snapshot(Path(folder), Path(folder).name, _names(Path(folder)))
    with _named(repository, " (in the cache; run once without --offline to fetch what is missing)" if offline else ""):
        needed(snapshot.names)
    return snapshot


def _shown(endpoint: str) -> str:
    """`endpoint` without the name and the password that a mirror may have in it."""
    scheme, separator, rest = endpoint.rpartition("://")
    return f"{scheme}{separator}{rest.rpartition('@')[2]}"


def _names(folder: Path) -> tuple[str, ...]:
    """As a repository would list them."""
    return tuple(sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()))


def _says_yes(variable: str) -> bool:
    """Read when it is needed, unlike the library, which reads it once when it is imported."""
    return os.environ.get(variable, "").upper() in _TRUE


def _checked_token(token: str | None) -> str | None:
    """`token`, or None for the library's own search (``HF_TOKEN``, then what ``hf auth login`` has stored)."""
    plain = (token or "").strip()
    if not (plain.isascii() and plain.isprintable()) or " " in plain:
        raise CheckpointError("the token of the hub has characters that no token has; was it copied whole?")
    return plain or None


def _terminal_progress() -> type[Any]:
    """The library's progress bar, on terminals only."""
    bar: Any = importlib.import_module("huggingface_hub.utils").tqdm

    def start(self: Any, *args: Any, **options: Any) -> None:
        bar.__init__(self, *args, **{"disable": not sys.stderr.isatty(), **options})

    return type("TerminalProgress", (bar,), {"__init__": start})


@contextmanager
def _named(repository: str, remedy: str = "") -> Iterator[None]:
    try:
        yield
    except CheckpointError as error:
        raise CheckpointError(f"{repository}: {error}{remedy}") from error


@contextmanager
def _one_line_each(repository: str, revision: str, endpoint: str, *, offline: bool) -> Iterator[None]:
    """Turn whatever the library raises into one line with a remedy."""
    try:
        yield
    except CheckpointError:
        raise
    except Exception as error:
        line = _line(error, revision, endpoint, offline=offline)
        raise CheckpointError(f"{repository}: {line}") from error


def _line(error: Any, revision: str, endpoint: str, *, offline: bool) -> str:
    from huggingface_hub import errors

    cache = "choose another folder with --cache (or HF_HOME)"
    lost = isinstance(error, ConnectionError | errors.LocalEntryNotFoundError)  # the second: lost on the way
    lost = lost or type(error).__module__.partition(".")[0] in _NETWORK_LIBRARIES
    status = getattr(getattr(error, "response", None), "status_code", None)
    lines = (
        (
            isinstance(error, errors.GatedRepoError),
            f"gated: accept its terms at {endpoint}, then set HF_TOKEN to a token of that account",
        ),
        (
            isinstance(error, errors.RepositoryNotFoundError),
            f"no such file or folder here, and no such repository at {endpoint}, or a private one that this token may"
            " not read: check the name, or set HF_TOKEN",
        ),
        (
            isinstance(error, errors.RevisionNotFoundError),
            f"it has no revision {revision!r}: name a branch, a tag or a whole commit hash",
        ),
        (
            offline or isinstance(error, errors.OfflineModeIsEnabled),
            f"revision {revision!r} is not in the cache; run once without --offline (and HF_HUB_OFFLINE) to fetch it",
        ),
        (
            status in (401, 403),
            f"{endpoint} refuses the token (status {status}): set HF_TOKEN to one that may read this repository",
        ),
        (
            status is not None,
            f"{endpoint} answers with status {status}; try again later, or use --offline with what is in the cache",
        ),
        (
            getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT),
            f"no space left for the hub's cache; make room, or {cache}",
        ),
        (
            lost,
            f"{endpoint} cannot be reached; --offline takes what is in the cache, HF_ENDPOINT names a mirror",
        ),
        (
            isinstance(error, OSError) and error.strerror,
            f"the hub's cache cannot be written ({getattr(error, 'strerror', '')}); {cache}",
        ),
    )
    return next(
        (line for applies, line in lines if applies),
        f"fetching it from {endpoint} failed ({type(error).__name__})",
    )
