"""From the rows of a file to those that can be measured, in windows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice

from worker.events.codec import is_blank
from worker.modelkit.evaluation.evaluation import EvaluationOptions, RowCounts
from worker.modelkit.evaluation.labels import LabelReader
from worker.modelkit.evaluation.rows import NoLabel, Row, RowSource, row_error

Labelled = tuple[Row, int]
"""A row, and the number of its label."""


class Intake:
    """Takes the rows that can be measured, and counts the others."""

    def __init__(self, source: RowSource, labels: LabelReader, options: EvaluationOptions) -> None:
        self._source, self._labels, self._options = source, labels, options
        self._read = self._measured = self._blank = self._without_label = self._unknown_label = 0
        self._last_fault = ""

    def rows(self) -> Iterator[Labelled]:
        """Read on, row by row; raises `UsageError` for one without a label where those are not to be left out."""
        for row in islice(self._source.rows, self._options.limit):
            self._read += 1
            if is_blank(row.text):
                self._blank += 1
                continue
            truth = None if isinstance(row.label, NoLabel) else self._labels.index(row.label)
            if truth is None:
                self._leave_out(row)
                continue
            self._measured += 1
            yield row, truth

    def share_read(self) -> float:
        """How much of what is to be read was read, 0 to 1."""
        of_file = self._source.share_read()
        return of_file if self._options.limit is None else max(of_file, self._read / self._options.limit)

    def counts(self) -> RowCounts:
        """What became of the rows so far."""
        return RowCounts(self._read, self._measured, self._blank, self._without_label, self._unknown_label)

    def summary(self) -> str:
        """The same in words, for an error."""
        parts = [f"{self._read:,} read"]
        parts += [f"{self._blank:,} blank"] if self._blank else []
        left_out = self._without_label + self._unknown_label
        parts += [f"{left_out:,} without a label of the model, the last: {self._last_fault}"] if left_out else []
        return ", ".join(parts)

    def _leave_out(self, row: Row) -> None:
        if isinstance(row.label, NoLabel):
            self._without_label += 1
            fault = row.label.why
        else:
            self._unknown_label += 1
            fault = self._labels.fault(row.label)
        if not self._options.skip_unlabelled:
            raise row_error(self._source.path, row.place, f"{fault}; --skip-unlabelled leaves such rows out")
        self._last_fault = fault


def windows(rows: Iterable[Labelled], most_rows: int, most_characters: int) -> Iterator[list[Labelled]]:
    """`rows` in lists of at most so many rows; a list ends early once its texts have so many characters."""
    window: list[Labelled] = []
    characters = 0
    for row in rows:
        window.append(row)
        characters += len(row[0].text)
        if len(window) == most_rows or characters >= most_characters:
            yield window
            window, characters = [], 0
    if window:
        yield window
