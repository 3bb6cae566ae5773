"""Which reader a file of labelled reviews takes."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path

from worker.errors import UsageError
from worker.modelkit.evaluation.rows import Columns, RowSource
from worker.modelkit.evaluation.text_files import open_csv, open_json_lines

_JSON_LINES = (".jsonl", ".ndjson")
_PARQUET = (".parquet", ".pq")


def open_rows(path: Path, columns: Columns) -> AbstractContextManager[RowSource]:
    """Open a file of labelled reviews, by its suffix.

    Raises `UsageError`, one line, for a suffix that is not known; on entry for a file that cannot be opened, is
    empty, is not of its kind or lacks a column; and while it is read for the first row that cannot be used.
    """
    name = path.name.lower()
    if name.endswith(_PARQUET):
        from worker.modelkit.evaluation.parquet_file import open_parquet

        return open_parquet(path, columns)
    plain = name.removesuffix(".gz")
    if plain.endswith(_JSON_LINES):
        return open_json_lines(path, columns)
    if plain.endswith(".csv"):
        return open_csv(path, columns)
    raise UsageError(f"{path}: unknown kind of file; known are .jsonl, .csv (each also with .gz) and .parquet")
