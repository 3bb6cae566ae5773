"""The list of brokers to start from: what may stand in it, and the right form for what may not; pure."""

from __future__ import annotations

import ipaddress
import re

USUAL_PORT = "9092"
HOST = re.compile(r"[^\s:/@\[\]]+")
LISTENER = re.compile(r"(?P<protocol>\w+)://(?P<rest>.+)")


def check_servers(value: str) -> str:
    """The same list without spaces; raises ValueError that shows the right form of the first wrong entry."""
    servers = [server.strip() for server in value.split(",")]
    for server in servers:
        if not _is_server(server):
            raise ValueError(f"{server!r} is no host:port{_hint(server)}")
    return ",".join(servers)


def _is_server(text: str) -> bool:
    host, _, port = text.rpartition(":")
    if not (port.isascii() and port.isdecimal() and 0 < int(port) < 65536):
        return False
    if host.startswith("[") and host.endswith("]"):
        return _is_ipv6(host[1:-1])
    return HOST.fullmatch(host) is not None


def _hint(server: str) -> str:
    if listener := LISTENER.fullmatch(server):
        right, remark = listener["rest"], "; how it is spoken to is the setting security_protocol"
    else:
        right, remark = server, ""
    host, _, port = right.rpartition(":")
    if _is_server(f"[{host}]:{port}"):
        right = f"[{host}]:{port}"
    elif _is_ipv6(right.strip("[]")):
        right = f"[{right.strip('[]')}]:{USUAL_PORT}"
    elif HOST.fullmatch(right):
        right = f"{right}:{USUAL_PORT}"
    return f": write {right}{remark}" if _is_server(right) and right != server else ""


def _is_ipv6(text: str) -> bool:
    try:
        ipaddress.IPv6Address(text)
    except ValueError:
        return False
    return True
