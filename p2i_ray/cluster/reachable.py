"""Whether anything listens at a cluster's address: Ray itself asks a closed port for a quarter of an hour."""

from __future__ import annotations

import socket
import time

from p2i_ray.cluster import ray_internals
from p2i_ray.errors import UserError

WITHIN_S = 30.0  # a head that is just starting listens by then
BETWEEN_S = 0.5


def check(address: str, setting: str, *, otherwise: str, within_s: float = WITHIN_S) -> None:
    """Wait until an address accepts connections; one without host and port, as `auto`, is left to Ray.

    Args:
        address: HOST:PORT or ray://HOST:PORT.
        setting: that it comes from.
        otherwise: what leaving out the setting does, for the error.
        within_s: seconds that it has.

    Raises:
        UserError: nothing answers there.
    """
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host or "/" in host or not port.isdecimal():
        return
    hosts = dict.fromkeys((host.strip("[]"), ray_internals.joined_host(host.strip("[]"))))
    deadline = time.monotonic() + within_s
    while True:
        for one in hosts:
            try:
                with socket.create_connection((one, int(port)), timeout=max(deadline - time.monotonic(), BETWEEN_S)):
                    return
            except (OSError, OverflowError) as error:
                why = str(error)
        if time.monotonic() + BETWEEN_S > deadline:
            raise UserError(
                f"nothing answers at {setting}={address} ({why}); give the address of a running cluster's head, or "
                f"unset it {otherwise}"
            )
        time.sleep(BETWEEN_S)
