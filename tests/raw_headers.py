"""Records whose headers have names that are not UTF-8, as other clients may write them and aiokafka does not."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from aiokafka.producer import message_accumulator, producer
from aiokafka.record.default_records import _DefaultRecordBatchBuilderPy

LATIN_1 = "caf\udce9"
"""``café`` in Latin-1: a byte that is not UTF-8 is a surrogate, as ``surrogateescape`` writes it."""


class RawName(str):
    """A name whose surrogates become the bytes that they stand for."""

    __slots__ = ()

    def encode(self, *_: str) -> bytes:
        return super().encode("utf-8", "surrogateescape")


def raw(headers: Sequence[tuple[str, bytes | None]]) -> list[tuple[str, bytes | None]]:
    """The headers to give to a producer."""
    return [(RawName(name), value) for name, value in headers]


def carried(headers: Sequence[tuple[str, bytes | None]]) -> tuple[tuple[str, bytes | None], ...]:
    """What the worker passes on of them."""
    return tuple((RawName(name).encode().decode(errors="backslashreplace"), value) for name, value in headers)


@contextmanager
def raw_names() -> Iterator[None]:
    """Producers that live within take a `RawName`: aiokafka's builder in C would not."""
    kept = message_accumulator.DefaultRecordBatchBuilder
    message_accumulator.DefaultRecordBatchBuilder = _DefaultRecordBatchBuilderPy
    producer.DefaultRecordBatchBuilder = _DefaultRecordBatchBuilderPy
    try:
        yield
    finally:
        message_accumulator.DefaultRecordBatchBuilder = kept
        producer.DefaultRecordBatchBuilder = kept
