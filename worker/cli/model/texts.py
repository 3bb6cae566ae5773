"""The texts, and the held-out reviews, that two models are compared on."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from worker.errors import UsageError

if TYPE_CHECKING:
    from worker.modelkit.convert.importing import HeldOut


def texts_to_compare(data: Path | None, text_field: str, limit: int) -> list[str]:
    """Up to `limit` texts of a data file that are not blank, or the built-in ones; no labels are needed.

    Raises `UsageError` for a file that cannot be read, or that has none.
    """
    if data is None:
        from worker.modelkit.convert.awkward_texts import AWKWARD_TEXTS

        return list(AWKWARD_TEXTS)
    from worker.events.codec import is_blank
    from worker.modelkit.evaluation.rows import Columns
    from worker.modelkit.evaluation.sources import open_rows

    with open_rows(data, Columns(text_field, label=None)) as source:
        texts = list(islice((row.text for row in source.rows if not is_blank(row.text)), limit))
    if not texts:
        raise UsageError(f"{data}: there is no text in it that is not blank")
    return texts


def held_out_reviews(data: Path, labels: Sequence[str], limit: int) -> HeldOut:
    """Up to `limit` labelled reviews of a data file, spread over all of it; blank ones are left out.

    Raises `UsageError` for a file that cannot be read, a row whose label is none of `labels`, and a file without rows.
    """
    from worker.modelkit.convert.importing import HeldOut
    from worker.modelkit.evaluation.evaluation import EvaluationOptions
    from worker.modelkit.evaluation.intake import Intake
    from worker.modelkit.evaluation.labels import LabelReader
    from worker.modelkit.evaluation.rows import Columns
    from worker.modelkit.evaluation.sources import open_rows

    chosen: list[tuple[str, int]] = []
    step, number = 1, 0
    options = EvaluationOptions(skip_unlabelled=False)
    with open_rows(data, Columns()) as source:
        for row, label in Intake(source, LabelReader(labels), options).rows():
            # A file may be sorted by label, so they come from all of it: of too many, every second one goes.
            if number % step == 0:
                chosen.append((row.text, label))
                if len(chosen) > limit:
                    chosen, step = chosen[::2], step * 2
            number += 1
    if not chosen:
        raise UsageError(f"{data}: there is no labelled review in it that is not blank")
    texts, indices = zip(*chosen, strict=True)
    return HeldOut(texts, indices)
