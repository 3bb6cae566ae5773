"""One folder in place of another: never none, never half of one."""

from __future__ import annotations

import errno
import os
import threading
from pathlib import Path

import pytest

from worker.modelkit.convert import exchange as module
from worker.modelkit.convert.exchange import put_in_place


def folder(path: Path, content: str) -> Path:
    path.mkdir(parents=True)
    (path / "content").write_text(content)
    return path


def content(path: Path) -> str:
    return (path / "content").read_text()


def no_exchange(monkeypatch: pytest.MonkeyPatch, code: int = errno.ENOSYS) -> None:
    def refuse(one: Path, other: Path) -> None:
        raise OSError(code, os.strerror(code), str(other))

    monkeypatch.setattr(module, "exchange", refuse)


@pytest.mark.parametrize("in_one_step", [True, False])
def test_a_folder_takes_the_place_of_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, in_one_step: bool
) -> None:
    if not in_one_step:
        no_exchange(monkeypatch)
    put_in_place(folder(tmp_path / "work" / "first", "first"), tmp_path / "out")
    assert content(tmp_path / "out") == "first"
    put_in_place(folder(tmp_path / "work" / "second", "second"), tmp_path / "out")
    assert content(tmp_path / "out") == "second"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "work"]


def test_whoever_looks_finds_one_of_the_two(tmp_path: Path) -> None:
    place, other = folder(tmp_path / "out", "a"), folder(tmp_path / "other", "b")
    try:
        module.exchange(other, place)
    except OSError as error:
        assert error.errno == errno.ENOSYS, "a system without such a step says so"
        return
    finished = threading.Event()
    seen: list[str] = []

    def look() -> None:
        while not finished.is_set():
            seen.append(content(place))

    looking = threading.Thread(target=look)
    looking.start()
    try:
        while len(set(seen)) < 2 or len(seen) < 1000:
            module.exchange(other, place)
            assert looking.is_alive(), "nothing was there for a moment"
    finally:
        finished.set()
        looking.join()


@pytest.mark.parametrize("failure", [OSError(errno.ENOSPC, "full"), SystemExit(130)], ids=["an error", "a signal"])
def test_when_the_second_of_two_steps_fails_the_first_is_taken_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failure: BaseException
) -> None:
    no_exchange(monkeypatch)
    place, new = folder(tmp_path / "out", "first"), folder(tmp_path / "work", "second")
    rename = Path.rename

    def failing(self: Path, target: Path) -> Path:
        if self == new:
            raise failure
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", failing)
    with pytest.raises(type(failure)):
        put_in_place(new, place)
    assert content(place) == "first"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "work"]


def test_what_is_busy_stays_what_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    no_exchange(monkeypatch, errno.EBUSY)
    place, new = folder(tmp_path / "out", "first"), folder(tmp_path / "work", "second")
    with pytest.raises(OSError, match=os.strerror(errno.EBUSY)):
        put_in_place(new, place)
    assert content(place) == "first"
