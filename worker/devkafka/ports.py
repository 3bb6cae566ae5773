"""Free ports on the loopback address."""

from __future__ import annotations

import random
import socket
from collections.abc import Callable

HOST = "127.0.0.1"
FIRST, LAST = 20_000, 31_999
"""Below the range from which systems give ports to outgoing connections: a client that tries again and again to reach
a broker that is down could otherwise be given the broker's own port, and so keep it from coming back."""


def is_free(port: int) -> bool:
    """Whether a server could listen on `port` now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def pick(count: int, *, free: Callable[[int], bool] = is_free, rng: random.Random | None = None) -> list[int]:
    """`count` different ports that were free a moment ago; raises OSError when there are not so many.

    Drawn at random, so that two processes that look at the same moment rarely meet; whoever starts a server must
    still be ready to find its port taken, and pick again.
    """
    candidates = list(range(FIRST, LAST + 1))
    (rng or random.SystemRandom()).shuffle(candidates)
    ports: list[int] = []
    for port in candidates:
        if len(ports) == count:
            break
        if free(port):
            ports.append(port)
    if len(ports) < count:
        raise OSError(f"fewer than {count} free ports between {FIRST} and {LAST}")
    return ports
