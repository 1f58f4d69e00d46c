"""The store by which training processes find each other, and what of a training other machines reach."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import psutil
from torch.distributed import TCPStore

from p2i_ray.cluster import listening
from p2i_ray.cluster.listening import Listener
from p2i_ray.diffusion.training import process_group


@contextmanager
def watched_ports() -> Iterator[set[Listener]]:
    """What other machines reach of this process and its descendants at any time of the block."""
    found: set[Listener] = set()
    ended = threading.Event()

    def look() -> None:
        while not ended.wait(1):  # a look takes a tenth of a second of a processor, and a store stays
            found.update(listening.beyond_loopback())

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        yield found
    finally:
        ended.set()
        thread.join()


def test_the_store_listens_on_its_nodes_address_alone(ray_cluster: None) -> None:
    host, port = process_group.open_store(2, 20)
    try:
        assert host == "127.0.0.1"
        mine = [one for one in psutil.Process().net_connections(kind="tcp") if one.laddr.port == port]
        assert {one.laddr.ip for one in mine if one.status == psutil.CONN_LISTEN} == {"127.0.0.1"}
        client = TCPStore(host, port, 2, is_master=False, timeout=timedelta(seconds=20))
        client.set("from", "the second worker")
        assert process_group._stores[0].get("from") == b"the second worker"
    finally:
        process_group.leave()
    with socket.socket() as again:  # the port is free as soon as the store is closed
        again.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        again.bind((host, port))


def test_an_address_that_is_translated_on_its_way_here_is_listened_for_on_all() -> None:
    with process_group.listen("192.0.2.1") as elsewhere, process_group.listen("127.0.0.1") as here:
        assert elsewhere.getsockname()[0] == "0.0.0.0" and here.getsockname()[0] == "127.0.0.1"


def test_torchs_own_store_would_be_seen() -> None:
    """The watch of the other tests finds what it is to find: a store that listens on all interfaces."""
    with watched_ports() as found:
        store = TCPStore("127.0.0.1", 0, 1, is_master=True, wait_for_workers=False)
        threading.Event().wait(1.5)
    assert store.port in {one.port for one in found}


def test_gloo_is_kept_to_the_interface_of_loopback() -> None:
    addresses = psutil.net_if_addrs()[process_group.loopback_interface()]
    assert "127.0.0.1" in {one.address for one in addresses}
