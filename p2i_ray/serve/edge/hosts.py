"""The Host header, checked: a page of another site whose name is pointed here must not reach this server."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable

from starlette.datastructures import Headers
from starlette.types import Scope

from p2i_ray.serve.edge.errors import APIError

LOCAL = ("localhost", "127.0.0.1", "[::1]")


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches an address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def local_names(host: str) -> tuple[str, ...]:
    """The names of a server that listens on this address: none, so that any is taken, if others reach it."""
    return tuple(dict.fromkeys((*LOCAL, f"[{host}]" if ":" in host else host))) if is_loopback(host) else ()


def check_host(scope: Scope, allowed: Iterable[str]) -> None:
    """Refuse a request for another host; with no names allowed, any is taken.

    Args:
        scope: of the request.
        allowed: names without port; *.example.org is every name below example.org.

    Raises:
        APIError: 421.
    """
    names = [name.lower() for name in allowed]
    if not names:
        return
    host = Headers(scope=scope).get("host", "").lower()
    name = host if host.endswith("]") else host.rpartition(":")[0] or host
    if not any(name == one or (one.startswith("*.") and name.endswith(one[1:])) for one in names):
        raise APIError(421, "this server is not asked by that name; serve.allowed_hosts lists its names", "host")
