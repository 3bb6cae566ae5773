"""What brokers' answers to fetches say of partitions that they cannot read themselves."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any, NamedTuple

from aiokafka.errors import for_code

from worker.errors import DamagedBatchError

UNREADABLE = {-1: "UNKNOWN_SERVER_ERROR", 2: "CORRUPT_MESSAGE", 56: "KAFKA_STORAGE_ERROR", 87: "INVALID_RECORD"}
"""Error codes, https://kafka.apache.org/protocol#protocol_error_codes."""
WITHHELD_S = 15.0
WITHHELD_TIMES = 3


def without_names(record: logging.LogRecord) -> bool:
    """A filter for aiokafka's log: not what it says of these errors, which names no partition."""
    names = {for_code(code).__name__ for code in UNREADABLE}
    return not (str(record.msg).startswith("Unexpected error while fetching") and names.intersection(record.args or ()))


class _Withheld(NamedTuple):
    offset: int
    since: float
    times: int


class Answers:
    """Finds damage in answers. A broker may also say nothing of it: a batch whose length is wrong is the end to it.

    Then nothing comes although there is more. That happens for want of room in an answer too, but never to the
    partition that was asked for first, nor where the whole answer is empty; and not for long.
    """

    def __init__(self, *, read_committed: bool) -> None:
        self._read_committed = read_committed
        self._withheld: dict[tuple[str, int], _Withheld] = {}

    def faults(self, request: Any, response: Any, now: float) -> Iterator[DamagedBatchError]:
        """The damage that shows in one answer, `now` in monotonic seconds."""
        asked = {(topic, number): offset for topic, places in request.topics for number, offset, _ in places}
        answers = [((topic, number), *each) for topic, parts in response.topics for number, *each in parts]
        empty = not any(data for *_, data in answers)
        for place, code, *rest in answers:
            offset = asked[place]
            if code in UNREADABLE:
                reason = f"its broker cannot read it ({UNREADABLE[code]})"
                yield DamagedBatchError(place[0], place[1], offset, None, reason)
            elif rest[-1] or code or not self._readable_end(response, rest) > offset:
                self._withheld.pop(place, None)
            elif empty or place == next(iter(asked)):
                before = self._withheld.get(place)
                if before is None or before.offset != offset:
                    before = _Withheld(offset, now, 0)
                self._withheld[place] = before._replace(times=before.times + 1)
                if before.times >= WITHHELD_TIMES and now - before.since > WITHHELD_S:
                    reason = "its broker hands nothing out there, though it says that there is more"
                    yield DamagedBatchError(place[0], place[1], offset, None, reason)

    def _readable_end(self, response: Any, rest: list[Any]) -> int:
        return int(rest[1] if self._read_committed and response.API_VERSION >= 4 else rest[0])
