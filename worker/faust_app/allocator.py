"""Has the C library give large blocks of memory back to the system as soon as they are free."""

from __future__ import annotations

import contextlib
import ctypes

M_MMAP_THRESHOLD = -3
LARGE_BYTES = 1024 * 1024


def give_large_blocks_back() -> None:
    """Where the C library is glibc. It would else keep blocks of up to 32 MiB, in an arena of each thread.

    A batch that unpacks to 32 MiB takes such blocks, and so do large records.
    """
    with contextlib.suppress(AttributeError, OSError):
        ctypes.CDLL(None).mallopt(M_MMAP_THRESHOLD, LARGE_BYTES)
