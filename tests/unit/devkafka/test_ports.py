"""Free ports."""

from __future__ import annotations

import random
import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.devkafka import ports


@given(st.integers(0, 12), st.integers())
def test_ports_are_different_and_within_the_range(count: int, seed: int) -> None:
    picked = ports.pick(count, free=lambda port: True, rng=random.Random(seed))
    assert len(set(picked)) == count
    assert all(ports.FIRST <= port <= ports.LAST for port in picked)


def test_a_port_in_use_is_never_picked() -> None:
    only = {20_001, 25_000, 31_999}
    assert set(ports.pick(3, free=only.__contains__)) == only


def test_too_few_free_ports_are_an_error() -> None:
    with pytest.raises(OSError, match="fewer than 2 free ports"):
        ports.pick(2, free={20_001}.__contains__)


def test_a_port_that_somebody_listens_on_is_not_free() -> None:
    with socket.socket() as server:
        server.bind((ports.HOST, 0))
        server.listen()
        assert not ports.is_free(server.getsockname()[1])
