"""The Host header: names of this server, by default on loopback and by a setting."""

from __future__ import annotations

from pathlib import Path

import pytest

from p2i_ray.serve.edge.errors import APIError
from p2i_ray.serve.edge.hosts import check_host, local_names
from tests.support.generator_parts import error_of, open_service


def taken(host: str, *allowed: str) -> bool:
    try:
        check_host({"type": "http", "headers": [(b"host", host.encode("latin-1"))]}, allowed)
    except APIError as error:
        assert error.status == 421
        return False
    return True


@pytest.mark.parametrize("address", ["127.0.0.1", "::1", "localhost", "127.0.0.5"])
def test_on_loopback_this_machines_names_are_taken(address: str) -> None:
    names = local_names(address)
    own = f"[{address}]" if ":" in address else address
    for host in ("localhost:8000", "127.0.0.1:8000", "[::1]:8000", "LOCALHOST", "[::1]", own):
        assert taken(host, *names)
    for host in ("evil.example:8000", "localhost.evil.example", "", "127.0.0.1.evil.example", "[::2]:8000", "é"):
        assert not taken(host, *names)


@pytest.mark.parametrize("address", ["0.0.0.0", "::", "10.0.0.1", "shop.example"])
def test_where_others_call_any_name_is_taken_unless_set(address: str) -> None:
    assert local_names(address) == () and taken("any.example")


def test_names_by_setting() -> None:
    assert taken("shop.example:443", "shop.example") and taken("a.shop.example", "*.shop.example")
    assert not taken("shop.example", "*.shop.example") and not taken("evilshop.example", "*.shop.example")


def test_a_request_for_another_host_is_refused_on_every_route(tmp_path: Path) -> None:
    with open_service(str(tmp_path), settings={"allowed_hosts": ["127.0.0.1"]}) as service:
        assert service.edit().status_code == 200
        for path in ("/", "/healthz", "/v1/models", "/v1/jobs/x"):
            error = error_of(service.send("GET", path, headers={"Host": "evil.example"}), 421)
            assert error["param"] == "host" and "serve.allowed_hosts" in error["message"]
