"""Records to entries: decode and tokenise, many at once, in a thread of the pipeline."""

from __future__ import annotations

from collections.abc import Sequence

from worker.clock import Clock
from worker.errors import Reason, RecordError, Stage
from worker.events.codec import EventCodec
from worker.observability.metrics import Metrics
from worker.records import TOMBSTONE, Entry, Record
from worker.tokenization.tokenizer import Tokenizer


class RecordPreparer:
    """Turns each record into an entry that waits for a batch, or that has its outcome already. Thread-safe."""

    def __init__(self, codec: EventCodec, tokenizer: Tokenizer, clock: Clock, metrics: Metrics) -> None:
        self._codec = codec
        self._tokenizer = tokenizer
        self._clock = clock
        self._overflows = metrics.overflows.labels(tokenizer.overflow.policy)

    def prepare(self, records: Sequence[Record], arrived_at: float) -> list[Entry]:
        """One entry for each record, in order. `arrived_at` is monotonic seconds."""
        wall_to_monotonic = self._clock.monotonic() - self._clock.wall()
        decode = self._codec.decode
        entries, texts, waiting = [], [], []
        for record in records:
            since = arrived_at
            if record.timestamp_ms > 0:
                since = min(arrived_at, record.timestamp_ms / 1000 + wall_to_monotonic)
            entry = Entry(record, None, False, arrived_at, since)
            entries.append(entry)
            if record.value is None:
                entry.outcome = TOMBSTONE
                continue
            try:
                event = decode(record.value)
            except RecordError as error:
                entry.outcome = error.without_traceback()
                continue
            entry.has_result = event.has_result
            texts.append(event.text)
            waiting.append(entry)
        self._encode(waiting, texts)
        return entries

    def _encode(self, entries: Sequence[Entry], texts: Sequence[str]) -> None:
        overflows = 0
        try:
            for entry, encoding in zip(entries, self._tokenizer.encode_many(texts), strict=True):
                entry.encoding = encoding
                if encoding.truncated or encoding.further:
                    overflows += 1
        except Exception as error:
            if len(entries) == 1:
                message = f"the text cannot be tokenised ({type(error).__name__})"
                entries[0].outcome = RecordError(Reason.INFERENCE_FAILED, Stage.TOKENISE, message)
                return
            for entry, text in zip(entries, texts, strict=True):
                self._encode([entry], [text])
        else:
            if overflows:
                self._overflows.inc(overflows)
