"""Servers of this process, and of those that it started, that other machines can reach."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from typing import NamedTuple


class Listener(NamedTuple):
    """A TCP port that other machines reach, unless a firewall is between.

    Attributes:
        program: name of the process.
        address: of the interface; 0.0.0.0 or :: is all of them.
        port: TCP port.
    """

    program: str
    address: str
    port: int


def beyond_loopback() -> list[Listener]:
    """The ports on which this process and its descendants listen for other machines, by program and port."""
    import psutil

    found = set()
    this = psutil.Process()
    for process in [this, *this.children(recursive=True)]:
        try:
            name = process.name()
            connections = process.net_connections(kind="tcp")
        except psutil.Error:  # ended meanwhile, or another user's
            continue
        for connection in connections:
            address = connection.laddr
            if connection.status == psutil.CONN_LISTEN and not _is_loopback(address.ip):
                found.add(Listener(name, address.ip, address.port))
    return sorted(found)


def notice(listeners: list[Listener], environment: Mapping[str, str]) -> str:
    """One line that names them, and says what they ask for; empty if there are none.

    Ray's ask for a token unless RAY_AUTH_MODE says otherwise. torch's, by which the processes of one engine find each
    other, ask for nothing.
    """
    if not listeners:
        return ""
    ports = ", ".join(f"{one.port} ({one.program})" for one in listeners)
    guarded = environment.get("RAY_AUTH_MODE", "token") == "token"
    asks = "Ray's ask for its token, torch's for nothing" if guarded else "none asks for a token (RAY_AUTH_MODE)"
    return f"other machines reach these ports, unless a firewall keeps them out: {ports}; {asks}"


def _is_loopback(address: str) -> bool:
    found = ipaddress.ip_address(address.partition("%")[0])
    mapped = getattr(found, "ipv4_mapped", None)
    return (mapped or found).is_loopback
