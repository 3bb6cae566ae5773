"""The texts that two models are compared on."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

from worker.errors import UsageError


def texts_to_compare(data: Path | None, text_field: str, limit: int) -> list[str]:
    """Up to `limit` texts of a data file that are not blank, or the built-in ones.

    Raises `UsageError` for a file that cannot be read, or that has none.
    """
    if data is None:
        from worker.convert.awkward_texts import AWKWARD_TEXTS

        return list(AWKWARD_TEXTS)
    from worker.evaluation.rows import Columns
    from worker.evaluation.sources import open_rows

    with open_rows(data, Columns(text=text_field, label=None)) as rows:
        texts = list(islice((row.text for row in rows.rows if row.text and row.text.strip()), limit))
    if not texts:
        raise UsageError(f"{data}: no text in it that is not blank")
    return texts
