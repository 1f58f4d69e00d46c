"""What Ray's autoscaler says about nodes that aren't there: may the cluster grow so far, and what is on its way?

Platforms that publish their node groups are asked for those. Ray's own second autoscaler is asked for the room
itself, which it begins to make or calls infeasible. The first one tells neither before it has tried.
"""

from __future__ import annotations

import json
import re
import sys
import time
from collections.abc import Sequence
from enum import Enum
from typing import TYPE_CHECKING

from p2i_ray.cluster import connection
from p2i_ray.cluster.bin_packing import Resources, left_over

if TYPE_CHECKING:
    from ray.core.generated.autoscaler_pb2 import ClusterConfig, GetClusterStatusReply

STATUS = b"__autoscaling_status"  # where the first autoscaler reports
UNMANAGED = re.compile(r"node_[0-9a-f]{40,}")
ANSWER_S = 30.0  # an autoscaler looks around every 5 s
POLL_S = 0.5


class Outlook(Enum):
    """Whether a cluster may grow to have room."""

    NO = "can't grow to it"
    YES = "may grow to it"
    UNKNOWN = "may grow, nobody says how far"


def ask(bundles: Sequence[Resources]) -> None:
    """Ask the autoscaler to have room for these, beside and above what tasks and actors want.

    There is one such request a cluster, and it stands until the next. Ray Data's coordinator, an actor that outlives
    its jobs, makes one for all datasets every 20 s. So what is asked here is forgotten after that time: renew it while
    you wait. However a job ends, it leaves no request behind that would keep nodes for ever.
    """
    from ray.autoscaler.sdk import request_resources
    from ray.data._internal.cluster_autoscaler import get_or_create_autoscaling_coordinator

    get_or_create_autoscaling_coordinator()
    request_resources(bundles=[dict(bundle) for bundle in bundles])


def outlook(bundles: Sequence[Resources]) -> Outlook:
    """Whether the cluster may grow to have room for these bundles; it begins to, where only a try can tell."""
    if connection.started_here():
        return Outlook.NO
    published = _published()
    if published is not None:
        return Outlook.NO if left_over(bundles, largest(published)) else Outlook.YES
    if _is_second():
        return _tried(bundles)
    return _of_the_first()


def largest(published: ClusterConfig, most: int = 1000) -> list[dict[str, float]]:
    """The nodes of a cluster that has grown as far as its published groups allow.

    Args:
        published: the groups.
        most: nodes that stand for a group without a limit.
    """
    nodes: list[dict[str, float]] = []
    for group in published.node_group_configs:
        count = most if group.max_count < 0 else min(group.max_count, most)
        shape = {name: float(amount) if amount >= 0 else sys.maxsize for name, amount in group.resources.items()}
        nodes += [dict(shape) for _ in range(count)]
    return nodes


def on_their_way() -> dict[str, int]:
    """Nodes that were asked for and aren't there yet, by the names of their types; empty where nobody says."""
    if not _is_second():
        return {}
    state = _status().autoscaling_state
    found: dict[str, int] = {}
    for requested in state.pending_instance_requests:
        found[requested.ray_node_type_name] = found.get(requested.ray_node_type_name, 0) + requested.count
    for starting in state.pending_instances:
        found[starting.ray_node_type_name] = found.get(starting.ray_node_type_name, 0) + 1
    return found


def _tried(bundles: Sequence[Resources]) -> Outlook:
    """What the second autoscaler makes of a request for these bundles."""
    deadline = time.monotonic() + ANSWER_S
    asked = None
    while time.monotonic() < deadline:
        if asked is None:
            ask(bundles)
            asked = _status().cluster_resource_state.cluster_resource_state_version
        status = _status()
        if _standing(status) != len(bundles):  # another request has replaced it
            asked = None
        elif status.autoscaling_state.last_seen_cluster_resource_state_version > asked:
            if not status.autoscaling_state.infeasible_cluster_resource_constraints:
                return Outlook.YES
            ask([])
            return Outlook.NO
        time.sleep(POLL_S)
    return Outlook.UNKNOWN  # it doesn't run, or is overwhelmed


def _standing(status: GetClusterStatusReply) -> int:
    """Bundles of the request that stands."""
    constraints = status.cluster_resource_state.cluster_resource_constraints
    return sum(request.count for constraint in constraints for request in constraint.resource_requests)


def _of_the_first() -> Outlook:
    """The first autoscaler calls the nodes of a cluster that it doesn't manage by their ids."""
    from ray.experimental.internal_kv import _internal_kv_get

    deadline = time.monotonic() + ANSWER_S
    while time.monotonic() < deadline:
        told = _internal_kv_get(STATUS)
        nodes = json.loads(told).get("autoscaler_report", {}).get("active_nodes") if told else None
        if nodes:
            return Outlook.NO if all(map(UNMANAGED.fullmatch, nodes)) else Outlook.UNKNOWN
        time.sleep(POLL_S)
    return Outlook.NO  # nobody looks after this cluster


def _published() -> ClusterConfig | None:
    from ray._private.state import state

    found = state.get_cluster_config()
    return found if found and found.node_group_configs else None


def _is_second() -> bool:
    from ray.autoscaler.v2.utils import is_autoscaler_v2

    return bool(is_autoscaler_v2())


def _status() -> GetClusterStatusReply:
    from ray.core.generated.autoscaler_pb2 import GetClusterStatusReply
    from ray.experimental.internal_kv import internal_kv_get_gcs_client

    reply = GetClusterStatusReply()
    reply.ParseFromString(internal_kv_get_gcs_client().get_cluster_status(timeout_s=10))
    return reply
