"""One folder in place of another, so that at each moment one of the two is there, whole."""

from __future__ import annotations

import ctypes
import errno
import os
import shutil
from pathlib import Path

_AT_FDCWD = -100
_RENAME_EXCHANGE = 2
_NOT_HERE = (errno.ENOSYS, errno.EINVAL, errno.ENOTSUP)


def put_in_place(new: Path, place: Path) -> None:
    """Let the folder `new` be at `place`, on the same file system; what was there is then at `new`, or gone.

    On Linux the two change places in one step, so a kill finds one of them at `place`. Elsewhere it takes two steps, of
    which the first is taken back when the second fails. Raises OSError, and `place` is what it was.
    """
    _flush(new)
    if not place.exists():
        new.rename(place)
        return
    try:
        exchange(new, place)
    except OSError as error:
        if error.errno not in _NOT_HERE:
            raise
        _in_two_steps(new, place)


def exchange(one: Path, other: Path) -> None:
    """Let two paths change places in one step; raises OSError, with ENOSYS where the system has no such step."""
    try:
        renameat2 = ctypes.CDLL(None, use_errno=True).renameat2
    except AttributeError:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS)) from None
    if renameat2(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _RENAME_EXCHANGE):
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), str(other))


def _in_two_steps(new: Path, place: Path) -> None:
    before = place.with_name(f".{place.name[:32]}-before-{os.getpid()}")
    place.rename(before)
    try:
        new.rename(place)
    except BaseException:
        before.rename(place)
        raise
    shutil.rmtree(before, ignore_errors=True)


def _flush(folder: Path) -> None:
    """What is in `folder` is on the disk before its name is, whatever happens to the machine."""
    for path in (*folder.iterdir(), folder):
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
