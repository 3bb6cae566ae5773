"""Where tools are kept: finished ones in a cache that outlives a checkout, links to them in ``build/tools/``."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

HERE = Path(__file__).resolve().parent
MODULES = HERE / "modules"
REPOSITORY = HERE.parents[1]
OUT = REPOSITORY / "build" / "tools"
BIN = OUT / "bin"
CACHE_VARIABLE = "DEPLOY_TOOLS_CACHE"
UNUSED_S = 30 * 24 * 3600.0


class ToolError(Exception):
    """One clear line: which tool is not to be had, and what to do."""


def say(line: str) -> None:
    """Tell whoever waits, at once; standard output stays free for answers."""
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


def cache_folder() -> Path:
    """``DEPLOY_TOOLS_CACHE``, or a folder beside the one that keeps Kafka's jars; made when it is not there."""
    if override := os.environ.get(CACHE_VARIABLE):
        folder = Path(override).expanduser()
    elif sys.platform == "darwin":
        folder = Path.home() / "Library" / "Caches" / "reviews-worker" / "tools"
    else:
        folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "reviews-worker" / "tools"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ToolError(
            f"tools cannot be kept in {folder} ({error.strerror}); name another folder with {CACHE_VARIABLE}"
        ) from error
    return folder


def key_of(*parts: str | Path) -> str:
    """Twelve hexadecimal digits that change when a text, or the content of a file, changes."""
    digest = hashlib.sha256()
    for part in parts:
        content = part.read_bytes() if isinstance(part, Path) else part.encode()
        digest.update(len(content).to_bytes(8, "big") + content)
    return digest.hexdigest()[:12]


@contextmanager
def alone(what: str = "tools") -> Iterator[None]:
    """One process at a time makes such things on this machine."""
    with (cache_folder() / f"lock-{what}").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def provide(link: Path, key: str, make: Callable[[Path], None], how: str) -> Path:
    """Let `link` lead to what `make` makes for this `key`, a file or a folder; it is made only when no cache has it.

    `make` gets a path that does not exist yet, and may raise ToolError. `how` says what it does ("building"). Answers
    the place in the cache.
    """
    cache = cache_folder()
    kept = cache / f"{link.name}-{key}"
    if not kept.exists():
        say(f"{link.name}: {how} ...")
        begin = time.monotonic()
        with tempfile.TemporaryDirectory(prefix=f".{link.name}-", dir=cache) as folder:
            made = Path(folder) / link.name
            make(made)
            made.replace(kept)
        say(f"{link.name}: {how} took {time.monotonic() - begin:.0f} s")
        _forget_others(cache, link.name, kept)
    os.utime(kept)  # it is in use
    if not link.is_symlink() or link.readlink() != kept:
        link.parent.mkdir(parents=True, exist_ok=True)
        link.unlink(missing_ok=True)
        link.symlink_to(kept)
    return kept


def _forget_others(cache: Path, name: str, kept: Path) -> None:
    """Earlier versions that no checkout has used for a month."""
    for other in cache.glob(f"{name}-{'[0-9a-f]' * 12}"):
        if other != kept and time.time() - other.stat().st_mtime > UNUSED_S:
            if other.is_dir():
                shutil.rmtree(other)
            else:
                other.unlink()
