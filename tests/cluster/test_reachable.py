"""A cluster's address that nothing listens at."""

from __future__ import annotations

import socket
import threading
import time

import pytest

from p2i_ray.cluster import reachable
from p2i_ray.errors import UserError


def closed_port() -> int:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        return int(bound.getsockname()[1])


@pytest.mark.parametrize("scheme", ["", "ray://"])
def test_a_closed_port_is_one_line_after_the_time_that_it_has(scheme: str) -> None:
    address, before = f"{scheme}127.0.0.1:{closed_port()}", time.monotonic()
    line = (
        rf"^nothing answers at RAY_ADDRESS={address} \(.*refused\); "
        "give the address of a running cluster's head, or unset it to start one$"
    )
    with pytest.raises(UserError, match=line):
        reachable.check(address, "RAY_ADDRESS", otherwise="to start one", within_s=1)
    assert time.monotonic() - before < 10


def test_what_listens_at_last_is_waited_for() -> None:
    port = closed_port()
    with socket.socket() as head:
        head.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        head.bind(("127.0.0.1", port))
        later = threading.Timer(1, head.listen)
        later.start()
        reachable.check(f"127.0.0.1:{port}", "ray.address", otherwise="", within_s=30)
        later.join()


@pytest.mark.parametrize("address", ["auto", "local", "http://host/x", "host:port"])
def test_what_has_no_host_and_port_is_left_to_ray(address: str) -> None:
    reachable.check(address, "ray.address", otherwise="", within_s=0)
