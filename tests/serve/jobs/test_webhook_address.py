"""Addresses of webhooks: nothing is called that the settings don't name, and nothing inside the server's network."""

from __future__ import annotations

import asyncio
import ipaddress

import httpx
import pytest

from p2i_ray.errors import UserError
from p2i_ray.serve.edge.errors import APIError
from p2i_ray.serve.jobs.webhook_address import RefusedAddressError, check_url, is_public, read_allowed, resolve

ENTRIES = ("hooks.shop.example", "https://other.example:8443/orders", "http://127.0.0.1:9000/", "https://localhost/")
ALLOWED = read_allowed(ENTRIES)


@pytest.mark.parametrize(
    "url",
    [
        "https://hooks.shop.example",
        "https://hooks.shop.example/",
        "https://HOOKS.shop.example:443/a/b?c=d",
        "https://other.example:8443/orders",
        "https://other.example:8443/orders/7?x=/",
        "http://127.0.0.1:9000/any",
        "https://localhost/x",
    ],
)
def test_allowed(url: str) -> None:
    assert check_url(url, ALLOWED) == url


@pytest.mark.parametrize(
    "url",
    [
        "http://hooks.shop.example/",
        "https://hooks.shop.example:8443/",
        "https://hooks.shop.example.evil.example/",
        "https://hooks.shop.example./",
        "https://evil.example/hooks.shop.example",
        "https://hooks.shop.example@evil.example/",
        "https://user:word@hooks.shop.example/",
        "https://evil.example\\@hooks.shop.example/",
        "https://evil.example#@hooks.shop.example/",
        "https://hooks.shop.example/#part",
        "https://other.example:8443/orders-of-others",
        "https://other.example:8443/orders/../admin",
        "https://other.example:8443/orders/%2e%2e/admin",
        "https://other.example:8443/orders/.%2E/admin",
        "https://other.example:8443/orders%2f..%2fadmin",
        "https://other.example:8443/",
        "http://127.0.0.1:9001/",
        "http://127.0.0.1/",
        "http://localhost:9000/",
        "http://0.0.0.0:9000/",
        "http://2130706433:9000/",
        "https://[::1]/",
        "ftp://hooks.shop.example/",
        "file:///etc/passwd",
        "//hooks.shop.example/",
        "hooks.shop.example",
        "https://hooks.shop.example/ ",
        "https://hooks.shop.example/\r\nX: y",
        "https://hooks.shop.ex\u00e4mple/",
        "https://hooks.shop.example/" + "a" * 2_000,
        "https://",
        "https://hooks.shop.example:x/",
    ],
)
def test_refused(url: str) -> None:
    with pytest.raises(APIError) as error:
        check_url(url, ALLOWED)
    assert (error.value.status, error.value.param, error.value.code) == (400, "webhook", "webhook_refused")
    assert "\n" not in error.value.message


def test_by_default_nothing_is_allowed() -> None:
    with pytest.raises(APIError, match="its operator lists those it may call"):
        check_url("https://hooks.shop.example/", [])


@pytest.mark.parametrize("entry", ["http://shop.example/", "", "https://a.example/?x", "https://u@a.example/", "a b"])
def test_entries_that_are_none(entry: str) -> None:
    with pytest.raises(UserError, match=r"serve\.webhooks\.allowed"):
        read_allowed([entry])


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("93.184.215.14", True),
        ("2606:2800:21f:cb07:6820:80da:af6b:8b2c", True),
        ("::ffff:93.184.215.14", True),
        ("64:ff9b::5db8:d70e", True),
        ("10.0.0.1", False),
        ("172.16.0.1", False),
        ("192.168.1.1", False),
        ("127.0.0.1", False),
        ("0.0.0.0", False),
        ("169.254.169.254", False),  # the metadata of a cloud's machine
        ("100.64.0.1", False),
        ("224.0.0.1", False),
        ("255.255.255.255", False),
        ("::1", False),
        ("::", False),
        ("fe80::1", False),
        ("fd00::1", False),
        ("ff02::1", False),
        ("::ffff:10.0.0.1", False),
        ("::ffff:169.254.169.254", False),
        ("64:ff9b::a9fe:a9fe", False),
        ("2002:a9fe:a9fe::", False),
    ],
)
def test_public_addresses(address: str, public: bool) -> None:
    assert is_public(ipaddress.ip_address(address)) == public


def test_a_name_may_not_lead_inside() -> None:
    def found(url: str, *addresses: str) -> list[str]:
        asked: list[tuple[str, int]] = []

        async def look_up(host: str, port: int) -> list[str]:
            asked.append((host, port))
            return list(addresses)

        answer = asyncio.run(resolve(httpx.URL(url), ALLOWED, look_up))
        assert asked == [(httpx.URL(url).host, httpx.URL(url).port or 443)]
        return answer

    both = ["93.184.215.14", "93.184.215.15"]  # a host's addresses are tried in their order
    assert found("https://hooks.shop.example/", *both, both[0]) == both
    for addresses in (["10.0.0.1"], ["93.184.215.14", "127.0.0.1"], ["::ffff:169.254.169.254"]):
        with pytest.raises(RefusedAddressError, match="private network"):
            found("https://hooks.shop.example/", *addresses)
    assert found("http://127.0.0.1:9000/", "127.0.0.1") == ["127.0.0.1"]  # the settings name it
    assert found("https://localhost/", "::1", "127.0.0.1") == ["::1", "127.0.0.1"]
    with pytest.raises(RefusedAddressError):
        found("https://localhost/", "10.0.0.1")
    with pytest.raises(RefusedAddressError, match="any more"):
        asyncio.run(resolve(httpx.URL("https://hooks.shop.example/"), []))
