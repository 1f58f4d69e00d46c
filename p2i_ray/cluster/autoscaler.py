"""Ask Ray's autoscaler about nodes that aren't there: may the cluster grow so far, and what is starting?

Platforms that publish their node groups are asked for those. Ray's second autoscaler (v2) is asked for the resources
themselves; it begins to provide them or calls the request infeasible. The first one (v1) says neither before it has
tried.
"""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Mapping, Sequence
from enum import Enum

from p2i_ray.cluster import connection, ray_internals
from p2i_ray.cluster.bin_packing import Resources, left_over
from p2i_ray.cluster.ray_internals import NodeGroup

UNMANAGED = re.compile(r"node_[0-9a-f]{40,}")  # the first autoscaler's name for a node that it doesn't manage
ANSWER_S = 30.0  # an autoscaler updates its state every 5 s
POLL_S = 0.5


class Outlook(Enum):
    """Whether a cluster may grow to have room."""

    NO = "can't grow to it"
    YES = "may grow to it"
    UNKNOWN = "may grow, nobody says how far"


def request(bundles: Sequence[Resources]) -> None:
    """Ask the autoscaler to have room for these bundles in total, not on top of what tasks and actors hold.

    A cluster has one such request, in force until the next one. Ray Data's coordinator, an actor that outlives its
    jobs, makes one on behalf of all datasets every 20 s. So a request from here expires after that time: renew it
    while you wait. However a job ends, it leaves no request behind that would keep nodes for ever.
    """
    from ray.autoscaler.sdk import request_resources

    ray_internals.start_request_coordinator()
    request_resources(bundles=[dict(bundle) for bundle in bundles])


def outlook(bundles: Sequence[Resources]) -> Outlook:
    """Whether the cluster may grow to have room for these bundles; where only a try can tell, growth begins."""
    if connection.started_here():
        return Outlook.NO
    if groups := ray_internals.published_node_groups():
        return Outlook.NO if left_over(bundles, largest(groups)) else Outlook.YES
    if ray_internals.is_second_autoscaler():
        return _outlook_by_request(bundles)
    return _outlook_of_first()


def largest(groups: Sequence[NodeGroup], most: int = 1000) -> list[dict[str, float]]:
    """The nodes of a cluster that has grown as far as its node groups allow.

    Args:
        groups: published by the platform.
        most: number of nodes that stands for a group without a limit.
    """
    nodes: list[dict[str, float]] = []
    for group in groups:
        count = most if group.max_count < 0 else min(group.max_count, most)
        shape = {name: float(amount) if amount >= 0 else sys.maxsize for name, amount in group.resources.items()}
        nodes += [dict(shape) for _ in range(count)]
    return nodes


def starting() -> Mapping[str, int]:
    """Nodes that were requested and aren't there yet, by the names of their types; empty where nobody says."""
    return ray_internals.second_autoscaler_status().starting if ray_internals.is_second_autoscaler() else {}


def _outlook_by_request(bundles: Sequence[Resources]) -> Outlook:
    """The second autoscaler's answer to a request for these bundles."""
    deadline = time.monotonic() + ANSWER_S
    requested_version = None
    while time.monotonic() < deadline:
        if requested_version is None:
            request(bundles)
            requested_version = ray_internals.second_autoscaler_status().version
        status = ray_internals.second_autoscaler_status()
        if status.requested != len(bundles):  # another request has replaced it
            requested_version = None
        elif status.seen_version > requested_version:
            if not status.infeasible:
                return Outlook.YES
            request([])
            return Outlook.NO
        time.sleep(POLL_S)
    return Outlook.UNKNOWN  # the autoscaler doesn't run, or is overloaded


def _outlook_of_first() -> Outlook:
    """The first autoscaler's: it only tells whether it manages the cluster's nodes."""
    deadline = time.monotonic() + ANSWER_S
    while time.monotonic() < deadline:
        if nodes := ray_internals.first_autoscaler_nodes():
            return Outlook.NO if all(map(UNMANAGED.fullmatch, nodes)) else Outlook.UNKNOWN
        time.sleep(POLL_S)
    return Outlook.NO  # no autoscaler manages this cluster
