"""A replay: every dead letter looked at once, those that are chosen sent again, what is left counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from worker.delivery.outputs import record_bytes
from worker.events.codec import rfc3339_ms
from worker.records import OutputRecord
from worker.replay.letters import DeadLetter
from worker.replay.notes import Note, Ranges, Replayed, Witness
from worker.replay.reader import Span, TopicReader
from worker.replay.selection import Left, Selection
from worker.replay.transactions import ReplayTransactions, packed_bytes
from worker.settings import Codec

MOST_LETTERS = 500
"""Letters of one transaction."""
MOST_BYTES = 4 * 1024 * 1024
"""The same in bytes of key and value; a letter that is larger goes alone."""

OnChosen = Callable[[DeadLetter, OutputRecord], None]


@dataclass(slots=True)
class Report:
    """What became of the letters that a replay has looked at."""

    replayed: Counter[str] = field(default_factory=Counter)
    """Those whose transaction is known to be committed (in a trial: would be), by reason."""
    left: Counter[Left] = field(default_factory=Counter)
    """Those that are left in place. Old stretches that were replayed before are not even read."""
    elsewhere: Counter[str] = field(default_factory=Counter)
    """Topics of those that were read elsewhere."""


@dataclass(slots=True)
class _Group:
    """The letters of the transaction to come."""

    outputs: list[OutputRecord] = field(default_factory=list)
    reasons: Counter[str] = field(default_factory=Counter)
    size_bytes: int = 0
    last: DeadLetter | None = None

    def has_room(self, letter: DeadLetter) -> bool:
        fits = self.size_bytes + letter.record.size_bytes <= MOST_BYTES
        return not self.outputs or (fits and len(self.outputs) < MOST_LETTERS)

    def add(self, letter: DeadLetter, output: OutputRecord) -> None:
        self.outputs.append(output)
        self.size_bytes += letter.record.size_bytes
        self.reasons[letter.latest.reason if letter.latest else ""] += 1
        self.last = letter


class Replay:
    """One replay of a dead-letter topic, partition after partition. Its memory does not grow with the topic.

    Without `transactions` it is a trial: everything is decided, counted and shown, and nothing is sent.
    """

    def __init__(
        self,
        selection: Selection,
        replayed: Replayed,
        codec: Codec,
        transactions: ReplayTransactions | None = None,
        on_chosen: OnChosen | None = None,
    ) -> None:
        self.report = Report()
        self._selection = selection
        self._replayed = replayed
        self._codec = codec
        self._transactions = transactions
        self._on_chosen = on_chosen

    async def run(self, reader: TopicReader, topic: str, spans: list[Span], *, again: bool = False) -> None:
        """Replay what `spans` hold; with `again` also what was replayed before.

        Raises what `ReplayTransactions.commit` and `TopicReader.records` do. What `report` counts is committed all the
        same, and the next replay goes on behind it.
        """
        for partition, span in enumerate(spans):
            start = span.start if again else self._replayed.first_open(partition, span.start)
            ranges, group = Ranges(), _Group()
            async for letters in reader.letters(topic, partition, Span(start, span.end)):
                for letter in letters:
                    offset = letter.record.offset
                    if not again and self._replayed.holds(partition, offset):
                        self.report.left[Left.REPLAYED] += 1
                        ranges.replayed_before(offset)
                    elif (output := self._chosen(letter)) is None:
                        ranges.left()
                    else:
                        if not group.has_room(letter):
                            await self._commit(partition, ranges, group)
                            group = _Group()
                        ranges.sent(offset)
                        group.add(letter, output)
            await self._commit(partition, ranges, group)

    def _chosen(self, letter: DeadLetter) -> OutputRecord | None:
        """The event to send; None, and counted, when the letter is left."""
        left = self._selection.leaves(letter)
        if left is None:
            output = self._selection.replayed(letter)
            if self._fits(output):
                if self._on_chosen is not None:
                    self._on_chosen(letter, output)
                return output
            left = Left.TOO_LARGE
        self.report.left[left] += 1
        if left is Left.ELSEWHERE and letter.latest is not None:
            self.report.elsewhere[letter.latest.topic] += 1
        return None

    def _fits(self, output: OutputRecord) -> bool:
        """Whether the target takes the event. Only what is large before compression is compressed to find out."""
        limit = self._selection.target.max_batch_bytes
        return limit is None or record_bytes(output) <= limit or packed_bytes(output, self._codec) <= limit

    async def _commit(self, partition: int, ranges: Ranges, group: _Group) -> None:
        """Send a group, in one transaction with the note on it."""
        if group.last is None:
            return
        at = rfc3339_ms(self._selection.now_ms / 1000)
        target, witness = self._selection.target.topic, Witness.of(group.last)
        note = Note(partition, ranges.take(), target, at, witness, self._replayed.topic_id)
        if self._transactions is not None:
            await self._transactions.commit(group.outputs, note)
        self.report.replayed.update(group.reasons)
