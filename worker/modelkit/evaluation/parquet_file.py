"""Labelled reviews in Parquet; needs pyarrow."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from worker.errors import UsageError
from worker.extras import install_command
from worker.modelkit.evaluation.rows import (
    NOT_ASKED_FOR,
    Columns,
    NoLabel,
    Row,
    RowSource,
    clean_text,
    names_there,
    row_error,
)

_BATCH_ROWS = 256


@contextlib.contextmanager
def open_parquet(path: Path, columns: Columns) -> Iterator[RowSource]:
    """Parquet: only the two columns are read, a few hundred rows at a time, whatever the size of a row group."""
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise UsageError(f"{path}: Parquet needs pyarrow; install it with: {install_command('evaluate')}") from None
    try:
        if not path.stat().st_size:
            raise UsageError(f"{path}: the file is empty")
        file = pyarrow.parquet.ParquetFile(path, pre_buffer=False)
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({error.strerror or _first_line(error)})") from None
    except pyarrow.ArrowException as error:
        raise UsageError(f"{path}: not a Parquet file ({_first_line(error)})") from None
    with file:
        _check_column(path, file.schema_arrow, columns.text, "--text-field", _is_text)
        if columns.label is not None:
            _check_column(path, file.schema_arrow, columns.label, "--label-field", _is_label)
        rows = _Rows(path, file, columns)
        yield RowSource(path, iter(rows), rows.share_read)


class _Rows:
    """The rows of a file, counted from 1."""

    def __init__(self, path: Path, file: Any, columns: Columns) -> None:
        self._path, self._file, self._columns = path, file, columns
        self._number = 0

    def share_read(self) -> float:
        return self._number / max(int(self._file.metadata.num_rows), 1)

    def __iter__(self) -> Iterator[Row]:
        import pyarrow

        wanted = [name for name in (self._columns.text, self._columns.label) if name is not None]
        try:
            for batch in self._file.iter_batches(batch_size=_BATCH_ROWS, columns=wanted):
                texts = batch.column(self._columns.text)
                labels = batch.column(self._columns.label) if self._columns.label else None
                for index in range(batch.num_rows):
                    self._number += 1
                    yield self._row(texts[index], None if labels is None else labels[index])
        except (OSError, pyarrow.ArrowException) as error:
            place = f"after row {self._number}"
            raise row_error(self._path, place, f"cannot be read ({_first_line(error)})") from None

    def _row(self, text: Any, label: Any) -> Row:
        place = f"row {self._number}"
        try:
            read = _decoded(text.as_py())
            spelled = None if label is None else _decoded(label.as_py())
        except UnicodeDecodeError as error:
            raise row_error(self._path, place, f"not UTF-8 at byte {error.start + 1} of a text") from None
        if label is None:
            return Row(place, clean_text(str(read or "")), NOT_ASKED_FOR)
        known = spelled is not None and spelled != ""
        return Row(
            place,
            clean_text(str(read or "")),
            spelled if known else NoLabel(f"{self._columns.label!r} is {'null' if spelled is None else 'empty'}"),
        )


def _decoded(value: object) -> object:
    return value.decode() if isinstance(value, bytes) else value


def _check_column(path: Path, schema: Any, name: str, option: str, fits: Callable[[Any], bool]) -> None:
    meaning = option.removeprefix("--").removesuffix("-field")
    found = schema.get_all_field_indices(name)
    if not found:
        raise UsageError(f"{path}: no column {name!r}; {names_there(schema.names, 'columns')} ({option} names another)")
    if len(found) > 1:
        raise UsageError(f"{path}: {len(found)} columns are called {name!r}; {option} names another")
    kind = schema.field(found[0]).type
    if not fits(kind):
        raise UsageError(f"{path}: the column {name!r} has the type {kind}, which is no {meaning}")


def _is_text(kind: Any) -> bool:
    import pyarrow.types as of

    if of.is_dictionary(kind):
        kind = kind.value_type
    checks = (of.is_string, of.is_large_string, of.is_string_view, of.is_binary, of.is_large_binary, of.is_null)
    return any(check(kind) for check in checks)


def _is_label(kind: Any) -> bool:
    import pyarrow.types as of

    if of.is_dictionary(kind):
        kind = kind.value_type
    return _is_text(kind) or of.is_integer(kind) or of.is_floating(kind) or of.is_boolean(kind)


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]
