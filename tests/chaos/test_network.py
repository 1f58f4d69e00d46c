"""Nodes of a network reach each other until one is cut off, and again afterwards; nothing of it stays."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import pytest

from chaos.network import Network, reason_against
from tests.support.variables import variables

# Whether a connection to a port that nobody listens on is refused, which a host that is reached does at once.
ASK = """
import errno, socket, sys
with socket.socket() as asked:
    asked.settimeout(float(sys.argv[2]))
    try:
        asked.connect((sys.argv[1], 9))
    except OSError as error:
        print(error.errno == errno.ECONNREFUSED)
"""


@pytest.fixture(scope="module")
def network() -> Iterator[Network]:
    if why := reason_against():
        pytest.skip(why)
    with Network(2) as network:
        yield network


def reaches(network: Network, number: int, address: str, wait_s: float = 30.0) -> bool:
    """Whether a node reaches an address; one that is reached answers long before wait_s."""
    command = network.command(number, [sys.executable, "-S", "-c", ASK, address, str(wait_s)])
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout == "True\n"


def test_nodes_reach_each_other_and_the_head_until_they_are_cut_off(network: Network) -> None:
    assert reaches(network, 0, network.address(1)) and reaches(network, 1, network.head)
    network.cut(1)
    assert not reaches(network, 0, network.address(1), wait_s=0.5)
    assert not reaches(network, 1, network.head, wait_s=0.5)
    assert reaches(network, 0, network.head)
    network.mend()
    assert reaches(network, 0, network.address(1)) and reaches(network, 1, network.head)


def test_nothing_of_a_network_stays() -> None:
    if why := reason_against():
        pytest.skip(why)
    with Network(1) as network:
        pass
    with pytest.raises(subprocess.CalledProcessError):
        reaches(network, 0, network.head)
    assert not [name for name in (network._bridge, network._namespace(0), network._link(0)) if name in shown()]


def shown() -> str:
    return "".join(subprocess.run(["ip", what], capture_output=True, text=True).stdout for what in ("netns", "link"))


def test_what_is_lacking_is_told() -> None:
    with variables({"PATH": "/nowhere"}):
        assert reason_against() == "ip is not installed"
