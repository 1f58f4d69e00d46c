"""What other machines reach."""

from __future__ import annotations

import socket

import pytest

from p2i_ray.cluster import listening
from p2i_ray.cluster.listening import Listener


@pytest.mark.parametrize(
    ("address", "family", "seen"),
    [
        ("127.0.0.1", socket.AF_INET, False),
        ("::1", socket.AF_INET6, False),
        ("::ffff:127.0.0.1", socket.AF_INET6, False),
        ("0.0.0.0", socket.AF_INET, True),
        ("::", socket.AF_INET6, True),
    ],
)
def test_a_port_counts_where_other_machines_reach_it(address: str, family: int, seen: bool) -> None:
    with socket.socket(family, socket.SOCK_STREAM) as server:
        server.bind((address, 0))
        port = server.getsockname()[1]
        assert port not in {one.port for one in listening.beyond_loopback()}  # it doesn't listen yet
        server.listen()
        found = [one for one in listening.beyond_loopback() if one.port == port]
        assert [one.address for one in found] == ([address] if seen else [])


def test_nothing_of_a_local_cluster_is_reached(ray_cluster: None) -> None:
    import ray

    assert ray.get_runtime_context().gcs_address.startswith("127.0.0.1:")
    assert listening.beyond_loopback() == []  # the judge's replicas may be there, which another test has started


def test_the_notice_names_ports_and_their_guard() -> None:
    found = [Listener("ray::ServeReplica", "::", 4000), Listener("raylet", "10.0.0.1", 5000)]
    line = listening.notice(found, {})
    assert "4000 (ray::ServeReplica), 5000 (raylet)" in line and "Ray's ask for its token" in line
    assert "none asks for a token" in listening.notice(found, {"RAY_AUTH_MODE": "disabled"})
    assert listening.notice([], {}) == ""
