"""One view on a model that is saved as a folder or in a zip, and that nobody has checked yet.

Nothing is ever unpacked onto the disk: files are read by name, one at a time, into memory, within `Limits`.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import io
import os
import re
import stat
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from worker.modelkit.convert.shape import CheckpointError

MARKER = "metadata/part-00000"
"""The file that every Spark ML object is saved with; where it lies is the root of the model."""

_CHUNK_BYTES = 1 << 20
_UNSAFE = re.compile(r"^/|\\|^[A-Za-z]:|(^|/)\.\.(/|$)|[\x00-\x1f]")
_ENCRYPTED = 0x1
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


@dataclass(frozen=True)
class Limits:
    """What is still taken for a model. ALBERT-xxlarge has 0.9 GB of float32 weights."""

    entries: int = 10_000
    """Files in one zip or folder."""
    file_bytes: int = 2 << 30
    """Size of one file."""
    total_bytes: int = 4 << 30
    """Size of all files of a zip together, and of all that is read from one zip or folder."""
    ratio: int = 200
    """How many times larger than its compressed bytes a file may be; below `ratio_from_bytes` it may be any."""
    ratio_from_bytes: int = 1 << 20


LIMITS = Limits()


class Archive:
    """The files of one model by their names below its root (``metadata/part-00000`` and so on)."""

    def __init__(self, where: str, names: Mapping[str, Callable[[], IO[bytes]]], limits: Limits) -> None:
        self._where = where
        self._openers = names
        self._limits = limits
        self._read_bytes = 0
        self.hashes: dict[str, str] = {}
        """SHA-256 of each file that was read."""

    @property
    def names(self) -> list[str]:
        """All of them, in alphabetical order."""
        return sorted(self._openers)

    def read(self, name: str, at_most: int | None = None) -> bytes:
        """A whole file. Raises `CheckpointError` where it is missing, damaged, or larger than `at_most` or `Limits`."""
        if name not in self._openers:
            raise CheckpointError(f"{self._where}: the file {name} is missing")
        try:
            with self._openers[name]() as file:
                data = self._within_limits(name, file, at_most)
        except CheckpointError:
            raise
        except Exception as error:  # zipfile raises a dozen kinds of errors for what is broken
            raise CheckpointError(f"{self._where}: the file {name} cannot be read ({_first_line(error)})") from error
        self.hashes[name] = hashlib.sha256(data).hexdigest()
        return data

    def _within_limits(self, name: str, file: IO[bytes], at_most: int | None) -> bytes:
        """Counted as it is read: what a zip says of the size of its files may be a lie."""
        allowed = min(at_most or self._limits.file_bytes, self._limits.total_bytes - self._read_bytes)
        data = bytearray()
        while chunk := file.read(_CHUNK_BYTES):
            data += chunk
            if len(data) > allowed:
                raise CheckpointError(
                    f"{self._where}: the file {name} has more than the {allowed} bytes that a model's may"
                )
        self._read_bytes += len(data)
        return bytes(data)


@contextlib.contextmanager
def open_archive(path: Path, limits: Limits = LIMITS) -> Iterator[Archive]:
    """The model in the folder or zip `path`, with its root where `MARKER` is, at the top or in one folder below.

    Raises `CheckpointError` where there is no `MARKER`, and for whatever is unsafe: see `open_zip`.
    """
    if path.is_dir():
        yield _open_folder(path, limits)
        return
    if not path.is_file():  # a pipe would be waited for
        raise CheckpointError(f"{path}: no such file or folder")
    try:
        file = path.open("rb")
    except OSError as error:
        raise CheckpointError(f"{path}: not readable ({error.strerror})") from error
    with file:
        yield open_zip(file, str(path), limits, rooted=True)


def open_zip(file: IO[bytes] | bytes, where: str, limits: Limits = LIMITS, *, rooted: bool = False) -> Archive:
    """The files of a zip, which must stay open; `rooted` gives them their names below the root of a model.

    Raises `CheckpointError`, one line, for a file that is no zip or a broken one, names that lead out of the folder
    (``..``, absolute ones, drives, backslashes), the same name twice, links, encrypted files, and files too many, too
    large, or compressed as only a bomb is.
    """
    stream = io.BytesIO(file) if isinstance(file, bytes) else file
    try:
        archive = zipfile.ZipFile(stream)
        entries = archive.infolist()
    except Exception as error:  # zipfile raises a dozen kinds of errors for what is broken
        raise CheckpointError(
            f"{where}: not a zip, or only a part of one ({_first_line(error)}); fetch it again"
        ) from error
    _check_entries(entries, where, limits)
    files = {entry.filename: entry for entry in entries if not entry.is_dir()}
    prefix = _root(files, where) if rooted else ""
    return Archive(
        where,
        {
            name.removeprefix(prefix): functools.partial(archive.open, entry)
            for name, entry in files.items()
            if name.startswith(prefix)
        },
        limits,
    )


def has_marker(path: Path) -> bool:
    """Whether `path` is a folder or a zip with a `MARKER`, or a ``.zip`` that is broken. Never raises, reads little."""
    try:
        if path.is_dir():
            return _folder_root(path) is not None
        if not path.is_file():
            return False
        try:
            with zipfile.ZipFile(path) as archive:
                return any(_ends_in_marker(name) for name in archive.namelist())
        except Exception:  # zipfile raises a dozen kinds of errors for what is no zip
            return path.suffix.lower() == ".zip"
    except (OSError, ValueError):
        return False


def _check_entries(entries: list[zipfile.ZipInfo], where: str, limits: Limits) -> None:
    if len(entries) > limits.entries:
        raise CheckpointError(f"{where}: {len(entries)} files, more than the {limits.entries} that a model may have")
    seen = set()
    for entry in entries:
        name = entry.orig_filename
        shown = ascii(name[:80])
        if _UNSAFE.search(name) or not name:
            raise CheckpointError(f"{where}: the name {shown} is no plain one below the zip; it is not opened")
        if entry.filename in seen:
            raise CheckpointError(f"{where}: the name {shown} is there twice; it is not opened")
        seen.add(entry.filename)
        if stat.S_IFMT(entry.external_attr >> 16) not in (0, stat.S_IFREG, stat.S_IFDIR):
            raise CheckpointError(f"{where}: {shown} is a link or a device, not a file; it is not opened")
        if entry.flag_bits & _ENCRYPTED:
            raise CheckpointError(f"{where}: {shown} is encrypted; save the model without a password")
        if entry.compress_type not in _METHODS:
            raise CheckpointError(f"{where}: {shown} is compressed by another method than deflate; zip it again")
        if entry.file_size > limits.file_bytes or _explodes(entry, limits):
            raise CheckpointError(
                f"{where}: {shown} unpacks from {entry.compress_size} to {entry.file_size} bytes; a model does not"
            )
    total = sum(entry.file_size for entry in entries)
    if total > limits.total_bytes:
        raise CheckpointError(f"{where}: unpacks to {total} bytes, more than the {limits.total_bytes} allowed")


def _explodes(entry: zipfile.ZipInfo, limits: Limits) -> bool:
    return entry.file_size > limits.ratio_from_bytes and entry.file_size > limits.ratio * max(entry.compress_size, 1)


def _ends_in_marker(name: str) -> bool:
    return name == MARKER or name.endswith(f"/{MARKER}")


def _root(names: Mapping[str, object], where: str) -> str:
    """What stands before the highest `MARKER`: in a saved pipeline, that of the pipeline itself."""
    prefixes = [name.removesuffix(MARKER) for name in names if _ends_in_marker(name)]
    if not prefixes:
        raise CheckpointError(f"{where}: no {MARKER} in it, so it is not a model that Spark NLP saved")
    prefixes.sort(key=lambda prefix: prefix.count("/"))
    depths = [prefix.count("/") for prefix in prefixes]
    if depths[0] > 1:
        raise CheckpointError(f"{where}: its {MARKER} is more than one folder down; zip the model's own folder")
    if depths.count(depths[0]) > 1:
        raise CheckpointError(f"{where}: more than one model in it; zip each by itself")
    return prefixes[0]


def _folder_root(path: Path) -> Path | None:
    """`path` itself, or the first folder in it, that has a `MARKER`."""
    if (path / MARKER).is_file():
        return path
    with os.scandir(path) as entries:
        folders = sorted(entry.name for entry, _ in zip(entries, range(LIMITS.entries), strict=False) if entry.is_dir())
    return next((path / name for name in folders if (path / name / MARKER).is_file()), None)


def _open_folder(path: Path, limits: Limits) -> Archive:
    try:
        root = _folder_root(path)
        if root is None:
            raise CheckpointError(f"{path}: no {MARKER} in it, so it is not a model that Spark NLP saved")
        return Archive(str(path), dict(_files(root.resolve(), limits)), limits)
    except OSError as error:
        raise CheckpointError(f"{path}: not readable ({error.strerror})") from error


def _files(root: Path, limits: Limits) -> Iterator[tuple[str, Callable[[], IO[bytes]]]]:
    """Plain files only; a link may lead to another place in `root`, not out of it."""
    count = 0
    for folder, _, names in os.walk(root):
        for name in names:
            count += 1
            if count > limits.entries:
                raise CheckpointError(f"{root}: more than the {limits.entries} files that a model may have")
            file = Path(folder, name)
            if file.is_symlink() and not file.resolve().is_relative_to(root):
                raise CheckpointError(f"{root}: {name!a} is a link out of the folder; put the file itself there")
            if file.is_file():
                yield file.relative_to(root).as_posix(), functools.partial(io.FileIO, file)


def _first_line(error: BaseException) -> str:
    lines = str(error).splitlines()
    return lines[0][:200] if lines else type(error).__name__
