"""A network of namespaces on this machine, in which every worker node has an address of its own and can be cut off.

A bridge joins them to the head's address, which lies on this machine itself. It needs rights that containers often
lack; `reason_against` says why it can't be had.
"""

from __future__ import annotations

import secrets
import subprocess
from collections.abc import Sequence
from types import TracebackType
from typing import Self

DEVICE = "eth0"  # as a node sees it


class Network:
    """So many namespaces and the bridge that joins them; a node's number counts from 0.

    Args:
        nodes: number of namespaces.

    Raises:
        OSError: they can't be made; the message is of the command that failed.
    """

    def __init__(self, nodes: int) -> None:
        self._id = secrets.token_hex(3)
        self._nodes = nodes
        self._subnet = ""
        self._bridge = f"p2ibr{self._id}"
        self._cut: set[int] = set()

    def __enter__(self) -> Self:
        self._subnet = _free_subnet()
        try:
            _ip("link", "add", self._bridge, "type", "bridge")
            _ip("addr", "add", f"{self.head}/24", "dev", self._bridge)
            _ip("link", "set", self._bridge, "up")
            for number in range(self._nodes):
                self._join(number)
        except OSError:
            self.close()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    @property
    def head(self) -> str:
        """The head's address."""
        return self._address(1)

    def address(self, number: int) -> str:
        """A node's address."""
        return self._address(number + 11)

    def command(self, number: int, command: Sequence[str]) -> list[str]:
        """The command line that runs a command on a node: in its network, and with this machine's files."""
        return ["nsenter", f"--net=/run/netns/{self._namespace(number)}", *command]

    def cut(self, number: int) -> None:
        """Cut a node off: packets to and from it are lost."""
        _ip("link", "set", self._link(number), "down")
        self._cut.add(number)

    def mend(self) -> None:
        """Join the nodes again that are cut off."""
        for number in self._cut:
            _ip("link", "set", self._link(number), "up")
        self._cut.clear()

    def close(self) -> None:
        """Remove the namespaces and the bridge."""
        for number in range(self._nodes):
            for command in (("link", "del", self._link(number)), ("netns", "del", self._namespace(number))):
                subprocess.run(["ip", *command], capture_output=True)  # it is absent where making it has failed
        subprocess.run(["ip", "link", "del", self._bridge], capture_output=True)

    def _join(self, number: int) -> None:
        namespace, link = self._namespace(number), self._link(number)
        _ip("netns", "add", namespace)
        _ip("link", "add", link, "type", "veth", "peer", "name", DEVICE, "netns", namespace)
        _ip("link", "set", link, "master", self._bridge)
        _ip("link", "set", link, "up")
        _ip("-n", namespace, "addr", "add", f"{self.address(number)}/24", "dev", DEVICE)
        _ip("-n", namespace, "link", "set", DEVICE, "up")
        _ip("-n", namespace, "link", "set", "lo", "up")
        # It leads nowhere, but libraries find their own address by it.
        _ip("-n", namespace, "route", "add", "default", "via", self.head)

    def _address(self, last: int) -> str:
        return f"{self._subnet}.{last}"

    def _namespace(self, number: int) -> str:
        return f"p2i-{self._id}-{number}"

    def _link(self, number: int) -> str:
        return f"p2i{self._id}v{number}"


def reason_against() -> str | None:
    """The reason why no such network can be had here; none: it can."""
    try:
        with Network(1) as network:
            return _failure(network.command(0, ["true"]))
    except FileNotFoundError as error:
        return f"{error.filename} is not installed"
    except OSError as error:
        return str(error)


def _free_subnet() -> str:
    """The first three numbers of addresses that nobody has."""
    taken = subprocess.run(["ip", "-4", "-oneline", "addr"], capture_output=True, text=True, check=True).stdout
    return next(subnet for number in range(256) if f" {(subnet := f'10.77.{number}')}." not in taken)


def _ip(*arguments: str) -> None:
    failure = _failure(["ip", *arguments])
    if failure:
        raise OSError(failure)


def _failure(command: Sequence[str]) -> str | None:
    """The error of a command that fails; none: it succeeds."""
    done = subprocess.run(command, capture_output=True, text=True)
    return f"{' '.join(command)}: {done.stderr.strip()}" if done.returncode else None
