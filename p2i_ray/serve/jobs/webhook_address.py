"""The addresses of webhooks: those that the server's settings allow, and no machine of its own network behind them.

A client's URL is compared part by part with what is allowed. When a message is sent, the host's name is resolved, every
address is checked, and the checked address is the one that is called: a name that points elsewhere a moment later
changes nothing.
"""

from __future__ import annotations

import asyncio
import ipaddress
import re
import socket
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from urllib.parse import unquote

import httpx

from p2i_ray.errors import UserError
from p2i_ray.serve.edge.errors import APIError, bad_request
from p2i_ray.serve.edge.hosts import is_loopback

MAX_CHARS = 2_000
_TEXT = re.compile(r"[\x21-\x7e]+")
_NAT64 = ipaddress.ip_network("64:ff9b::/96")  # IPv4 behind IPv6
PORTS = {"https": 443, "http": 80}

LookUp = Callable[[str, int], Awaitable[list[str]]]
Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class RefusedAddressError(Exception):
    """A host's address that must not be called."""


@dataclass(frozen=True)
class AllowedURL:
    """An entry of serve.webhooks.allowed: https on a host, or URLs that begin with one."""

    scheme: str
    host: str
    port: int
    path: str

    def covers(self, url: httpx.URL) -> bool:
        """Whether a URL is at this place or below it: /orders covers /orders/7, and not /orders-of-others."""
        path = url.raw_path.decode("ascii").partition("?")[0]
        same = (url.scheme, url.host, url.port or PORTS.get(url.scheme)) == (self.scheme, self.host, self.port)
        below = path == self.path or path.startswith(self.path if self.path.endswith("/") else f"{self.path}/")
        return same and below


def read_allowed(entries: Sequence[str]) -> list[AllowedURL]:
    """The entries of serve.webhooks.allowed.

    Raises:
        UserError: one is no host or URL, or allows http to another machine.
    """
    return [_allowed(entry) for entry in entries]


def check_url(text: str, allowed: Sequence[AllowedURL]) -> str:
    """A client's URL, checked.

    Args:
        text: as it was sent.
        allowed: entries of the settings.

    Raises:
        APIError: it is no URL, or not allowed.
    """
    url = _parsed(text)
    if url is None:
        raise _refusal(
            f"webhook must be an https URL of at most {MAX_CHARS} ASCII characters, without a user's name and without "
            "steps such as .."
        )
    if not any(entry.covers(url) for entry in allowed):
        raise _refusal(
            "this server calls no such address; its operator lists those it may call in serve.webhooks.allowed"
        )
    return text


async def look_up(host: str, port: int) -> list[str]:
    """A host's addresses.

    Raises:
        OSError: it has none.
    """
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(entry[4][0]) for entry in found]


async def resolve(url: httpx.URL, allowed: Sequence[AllowedURL], look_up: LookUp = look_up) -> list[str]:
    """The addresses to call for a URL's host, one after the other until one answers.

    Args:
        url: that is allowed.
        allowed: entries of the settings; one that names an IP address, or localhost, allows a private one.
        look_up: the addresses of a host and port.

    Raises:
        RefusedAddressError: the URL isn't allowed any more, or the host has an address of a private network.
        OSError: the name can't be resolved.
    """
    if not any(entry.covers(url) for entry in allowed):
        raise RefusedAddressError("serve.webhooks.allowed doesn't list it any more")
    addresses = [ipaddress.ip_address(one) for one in await look_up(url.host, url.port or PORTS[url.scheme])]
    for address in addresses:
        if not (is_public(address) or _is_named(url.host, address)):
            raise RefusedAddressError("its host has an address of a private network")
    return [str(address) for address in dict.fromkeys(addresses)]


def is_public(address: Address) -> bool:
    """Whether an address is one of the open Internet, also where IPv4 is hidden in IPv6."""
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour
        if inner is None and address in _NAT64:
            inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        if inner is not None:
            return is_public(inner)
        if address.teredo is not None:
            return False
    return address.is_global and not address.is_multicast


def _is_named(host: str, address: Address) -> bool:
    """Whether an allowed host, which the settings name, is this very address, or localhost."""
    if host == "localhost":
        return address.is_loopback
    try:
        return ipaddress.ip_address(host) == address
    except ValueError:
        return False


def _allowed(entry: str) -> AllowedURL:
    url = _parsed(entry if "://" in entry else f"https://{entry}/")
    if url is None or url.query:
        raise UserError(
            f"serve.webhooks.allowed: {entry!r} is no host, such as hooks.shop.example, and no https URL without a "
            "query (http is for loopback alone)"
        )
    return AllowedURL(url.scheme, url.host, url.port or PORTS[url.scheme], url.raw_path.decode("ascii"))


def _parsed(text: str) -> httpx.URL | None:
    """A URL that every program reads alike; none: it isn't one."""
    if len(text) > MAX_CHARS or not _TEXT.fullmatch(text) or "\\" in text:
        return None
    try:
        url = httpx.URL(text)
    except (httpx.InvalidURL, ValueError):
        return None
    steps = unquote(text.partition("://")[2].partition("?")[0]).split("/")
    scheme_known = url.scheme == "https" or (url.scheme == "http" and is_loopback(url.host))
    if not scheme_known or not url.host or url.userinfo or url.fragment or "#" in text or {".", ".."} & set(steps[1:]):
        return None
    return url


def _refusal(message: str) -> APIError:
    return bad_request(message, "webhook", "webhook_refused")
