"""Labelled reviews in JSON lines and in CSV, plain or gzipped."""

from __future__ import annotations

import contextlib
import csv
import gzip
import json
import os
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from worker.errors import UsageError
from worker.modelkit.evaluation.rows import (
    MAX_ROW_BYTES,
    NOT_ASKED_FOR,
    Columns,
    NoLabel,
    Row,
    RowSource,
    clean_text,
    names_there,
    row_error,
)

_GZIP_MAGIC = b"\x1f\x8b"
_BOM = "\N{ZERO WIDTH NO-BREAK SPACE}"
_MISSING = object()
_TYPE_NAMES = {dict: "an object", list: "an array", str: "text", bool: "true or false", type(None): "null"}


@contextlib.contextmanager
def open_json_lines(path: Path, columns: Columns) -> Iterator[RowSource]:
    """JSON lines: one object a line; empty lines are passed over."""
    with _open_lines(path) as lines:
        yield RowSource(path, _json_rows(lines, columns), lines.share_read)


@contextlib.contextmanager
def open_csv(path: Path, columns: Columns) -> Iterator[RowSource]:
    """CSV as RFC 4180 has it: names in the first row, commas, double quotes, fields over several lines."""
    before = csv.field_size_limit(MAX_ROW_BYTES)  # the module's, not a reader's
    try:
        with _open_lines(path) as lines:
            yield RowSource(path, _csv_rows(lines, columns), lines.share_read)
    finally:
        csv.field_size_limit(before)


class _Lines:
    """The lines of a UTF-8 file, each with its end; `number` is that of the last one read."""

    def __init__(self, path: Path, raw: IO[bytes], unpacked: IO[bytes], size: int) -> None:
        self.path = path
        self.number = 0
        self._raw, self._unpacked, self._size = raw, unpacked, size

    @property
    def place(self) -> str:
        """Where reading stands, for messages."""
        return f"line {self.number}"

    def error(self, fault: str) -> UsageError:
        """What is wrong with the line read last."""
        return row_error(self.path, self.place, fault)

    def share_read(self) -> float:
        """By the bytes of the file, packed or not; 0.0 where it cannot be known."""
        return min(self._raw.tell() / self._size, 1.0) if self._size else 0.0

    def __iter__(self) -> Iterator[str]:
        while line := self._read():
            try:
                text = line.decode()
            except UnicodeDecodeError as error:
                raise self.error(f"not UTF-8 at byte {error.start + 1} of the line") from None
            yield text.removeprefix(_BOM) if self.number == 1 else text

    def _read(self) -> bytes:
        self.number += 1
        try:
            line = self._unpacked.readline(MAX_ROW_BYTES + 1)
        except (OSError, EOFError, zlib.error) as error:  # a damaged gzip file is any of them
            raise self.error(f"cannot be read ({error})") from None
        if len(line) > MAX_ROW_BYTES:
            raise self.error(f"longer than {MAX_ROW_BYTES // 2**20} MiB; is this a file of one review a line?")
        return line


@contextlib.contextmanager
def _open_lines(path: Path) -> Iterator[_Lines]:
    try:
        raw = path.open("rb")
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({error.strerror})") from None
    with raw:
        size = os.fstat(raw.fileno()).st_size if raw.seekable() else 0  # a pipe has none
        beginning = raw.peek(len(_GZIP_MAGIC))
        if not beginning:
            raise UsageError(f"{path}: the file is empty")
        packed = path.suffix.lower() == ".gz" or beginning.startswith(_GZIP_MAGIC)
        yield _Lines(path, raw, gzip.GzipFile(fileobj=raw) if packed else raw, size)  # type: ignore[arg-type]


def _json_rows(lines: _Lines, columns: Columns) -> Iterator[Row]:
    for line in lines:
        if not line.strip():
            continue
        members = _json_object(lines, line)
        text = _member(members, columns.text)
        if text is _MISSING:
            raise lines.error(
                f"no member {columns.text!r}; {names_there(members, 'members')} (--text-field names another)"
            )
        if text is not None and not isinstance(text, str):
            raise lines.error(f"{columns.text!r} is {_type_name(text)}, not text")
        label = _member(members, columns.label) if columns.label else NOT_ASKED_FOR
        if label is _MISSING:
            why = f"no member {columns.label!r}; {names_there(members, 'members')} (--label-field names another)"
            label = NoLabel(why)
        elif label is None:
            label = NoLabel(f"{columns.label!r} is null")
        yield Row(lines.place, clean_text(text or ""), label)


def _json_object(lines: _Lines, line: str) -> Mapping[str, Any]:
    try:
        members = json.loads(line)
    except json.JSONDecodeError as error:
        raise lines.error(f"not JSON ({error.msg} at column {error.colno}); each line holds one object") from None
    except (ValueError, RecursionError):
        raise lines.error("a number is too long, or the object nested too deeply") from None
    if not isinstance(members, dict):
        raise lines.error(f"{_type_name(members)}, not an object; each line holds one object")
    return members


def _type_name(value: object) -> str:
    return _TYPE_NAMES.get(type(value), "a number")


def _member(members: Mapping[str, Any], name: str) -> object:
    if name in members or "." not in name:
        return members.get(name, _MISSING)
    node: Any = members
    for part in name.split("."):
        if not isinstance(node, dict) or part not in node:
            return _MISSING
        node = node[part]
    return node


def _csv_rows(lines: _Lines, columns: Columns) -> Iterator[Row]:
    records = _csv_records(lines)
    header = next(records, (1, []))[1]
    text_at = _column(lines.path, header, columns.text, "--text-field")
    label_at = _column(lines.path, header, columns.label, "--label-field") if columns.label else None
    for number, (first_line, record) in enumerate(records, 1):
        place = f"row {number} (line {first_line})"
        if len(record) != len(header):
            raise row_error(lines.path, place, f"{len(record)} fields, but the first row names {len(header)} columns")
        label = NOT_ASKED_FOR if label_at is None else record[label_at].strip()
        yield Row(place, record[text_at], label or NoLabel(f"{columns.label!r} is empty"))


def _csv_records(lines: _Lines) -> Iterator[tuple[int, list[str]]]:
    """The records that are not empty lines, each with the number of its first line."""
    reader = csv.reader(lines, strict=True)
    while True:
        first_line = lines.number + 1
        try:
            record = next(reader, None)
        except csv.Error as error:
            raise row_error(lines.path, f"the row from line {first_line} on", f"not CSV ({error})") from None
        if record is None:
            return
        if record:
            yield first_line, record


def _column(path: Path, header: Sequence[str], name: str, option: str) -> int:
    if header.count(name) > 1:
        raise UsageError(f"{path}: {header.count(name)} columns are called {name!r}; {option} names another")
    if name not in header:
        raise UsageError(f"{path}: no column {name!r}; {names_there(header, 'columns')} ({option} names another)")
    return header.index(name)
