"""From the label that a file spells to the model's own."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence

from worker.errors import UsageError

_MOST_CHARACTERS = 40
_INTEGER = re.compile(r"(\d+)(\.0+)?", re.ASCII)


class LabelReader:
    """Finds the label that a value means.

    The first of these that fits counts:

    - a spelling in `spellings` (what ``--map`` gave), which leads to one of `labels`;
    - a label, spelled exactly;
    - the number of a label, as a number or as text. Where a label is itself a number, numbers are names only: with the
      labels ``1`` to ``5`` a 1 is never the second of them;
    - a label, but for capitals, where only one label is spelled so.

    White space around a text does not count. Raises `UsageError` where `spellings` leads to no label.
    """

    def __init__(self, labels: Sequence[str], spellings: Mapping[str, str] | None = None) -> None:
        self.labels = tuple(labels)
        folded = Counter(label.casefold() for label in labels)
        self._folded = {label.casefold(): index for index, label in enumerate(labels) if folded[label.casefold()] == 1}
        numbers_are_names = any(_INTEGER.fullmatch(label) for label in labels)
        self._known = {} if numbers_are_names else {str(index): index for index in range(len(labels))}
        self._known |= {label: index for index, label in enumerate(labels)}
        self._known |= {spelled: self._target(spelled, label) for spelled, label in (spellings or {}).items()}

    def index(self, value: object) -> int | None:
        """The number of the label that `value` means; None where it means none."""
        spelled = _spelling(value)
        if spelled is None:
            return None
        found = self._known.get(spelled)
        if found is None and (number := _INTEGER.fullmatch(spelled)):
            found = self._known.get(number[1])
        return self._folded.get(spelled.casefold()) if found is None else found

    def fault(self, value: object) -> str:
        """What to say of a value that means no label."""
        spelled = _spelling(value)
        if spelled is None:
            shown = f"a {type(value).__name__}"
        elif len(spelled) > _MOST_CHARACTERS:
            shown = f"a text of {len(spelled)} characters"
        else:
            shown = repr(spelled)
        return f"the label is {shown}, and the model knows {self._names} (--map SPELLING=LABEL translates)"

    def _target(self, spelled: str, label: str) -> int:
        found = self._known.get(label, self._folded.get(label.casefold()))
        if found is None:
            raise UsageError(f"--map {spelled}={label}: the model has no label {label!r}; it knows {self._names}")
        return found

    @property
    def _names(self) -> str:
        return ", ".join(self.labels)


def _spelling(value: object) -> str | None:
    """How a value would be written as text; None for what is no label at all."""
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value) if isinstance(value, int | float) else None
