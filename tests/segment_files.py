"""Damage to what a local broker has stored: its log is changed under it, as a bad disk would do it."""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from aiokafka.record.util import calc_crc32c

from worker.devkafka.local import LocalCluster

LENGTH_AT, CHECKSUM_AT, ATTRIBUTES_AT, RECORDS_AT = 8, 17, 21, 61
"""Of a record batch of version 2: https://kafka.apache.org/documentation/#recordbatch."""


@dataclass
class StoredBatch:
    """One batch of a segment file."""

    file: Path
    at: int
    data: bytearray

    @property
    def base_offset(self) -> int:
        return int(struct.unpack_from(">q", self.data)[0])

    def write(self) -> None:
        """Put `data` in place of what is stored; it has to be as long."""
        with self.file.open("r+b") as segment:
            segment.seek(self.at)
            segment.write(self.data)

    def seal(self) -> None:
        """Give it the right checksum."""
        struct.pack_into(">I", self.data, CHECKSUM_AT, calc_crc32c(bytes(self.data[ATTRIBUTES_AT:])))


def batches(kafka: LocalCluster, topic: str, partition: int = 0, broker: int = 1) -> list[StoredBatch]:
    """All batches of a partition's first segment, as they are stored."""
    (file,) = (kafka.folder / f"broker-{broker}").rglob(f"{topic}-{partition}/00000000000000000000.log")
    stored, found, at = file.read_bytes(), [], 0
    while at + RECORDS_AT <= len(stored) and (length := struct.unpack_from(">i", stored, at + LENGTH_AT)[0]) > 0:
        end = at + 12 + length
        found.append(StoredBatch(file, at, bytearray(stored[at:end])))
        at = end
    return found


def flip_a_bit(batch: StoredBatch) -> None:
    """Its checksum is wrong then."""
    batch.data[-1] ^= 1


def garble(batch: StoredBatch) -> None:
    """What it holds cannot be decompressed, or is no record; its checksum is right."""
    batch.data[RECORDS_AT:] = b"\xa5" * (len(batch.data) - RECORDS_AT)
    batch.seal()


def take_its_end_away(batch: StoredBatch) -> None:
    """Its checksum is wrong, and so is what its header says of its end."""
    struct.pack_into(">i", batch.data, ATTRIBUTES_AT + 2, -7)


def lengthen(batch: StoredBatch) -> None:
    """Its length goes far beyond what is there."""
    struct.pack_into(">i", batch.data, LENGTH_AT, 1 << 29)


def outdate(batch: StoredBatch) -> None:
    """It says that it is of a format that no longer is in use."""
    batch.data[16] = 0


Damage = Callable[[StoredBatch], None]
