"""Everything that is taken from inside Ray, because its public API has no equivalent; read from Ray 2.60.0.

Nothing else in the package, in chaos/ or in bench/ names a private module of Ray. When Ray changes one of these,
tests/cluster/test_ray_internals.py fails.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, NamedTuple, cast

if TYPE_CHECKING:
    from ray.actor import ActorHandle
    from ray.train.torch import TorchTrainer

# 2.60.0. Loggers that warn of what is meant: that progress bars are off, that a cluster asks for its token. There is
# no setting for these two lines.
NOISY_LOGGERS = ("ray.data._internal.progress", "ray._private.authentication.authentication_token_setup")

# 2.60.0. Ray's stand-in for a cloud, whose nodes are processes of this machine. ray.cluster_utils.AutoscalingCluster
# is its public face, but it needs a file that is not in the wheel, and stops every other cluster of the machine.
FAKE_PROVIDER = "ray.autoscaler._private.fake_multi_node.node_provider.FakeMultiNodeProvider"
LOOPBACK = "127.0.0.1"
RAYLET = "raylet"  # name of the process that starts a node's workers


@contextmanager
def on_loopback() -> Iterator[None]:
    """Give a node that this process starts meanwhile the address 127.0.0.1: Ray's servers then listen there alone.

    2.60.0: ray.init and ray start turn a 127.0.0.1 that they are given into an address that other machines reach. Where
    Ray has no clusters of several machines, on macOS and Windows, it keeps to 127.0.0.1; one constant says where that
    is. Its environment variable is read when Ray is imported, and would reach processes that join other clusters.
    """
    from ray._private import ray_constants

    before = ray_constants.ENABLE_RAY_CLUSTER
    ray_constants.ENABLE_RAY_CLUSTER = False
    try:
        yield
    finally:
        ray_constants.ENABLE_RAY_CLUSTER = before


def replica_on_loopback() -> None:
    """Have this replica of Ray Serve listen on 127.0.0.1 if its node does; deployments call this in their __init__.

    2.60.0: the address of the server for calls between deployments, [::], stands in the replica's code. Serve starts
    that server when __init__ has returned. A node with another address, and a process that is no replica, is left
    as it is.
    """
    import ray
    from ray import serve
    from ray.serve._private import replica
    from ray.serve.exceptions import RayServeException

    try:
        serve.get_replica_context()
    except RayServeException:
        return
    module: Any = replica
    add_port = module.add_port_to_grpc_server

    def add(server: Any, address: str) -> int:
        return int(add_port(server, f"{LOOPBACK}:{address.rpartition(':')[2]}"))

    if ray.util.get_node_ip_address() == LOOPBACK:  # type: ignore[no-untyped-call]
        module.add_port_to_grpc_server = add


def joined_host(host: str) -> str:
    """The host at which Ray looks for a head: 2.60.0 takes this machine's outer address for a loopback one."""
    from ray._private import services

    return str(services.resolve_ip_for_localhost(host))


class NodeGroup(NamedTuple):
    """Nodes of one kind that a platform can start."""

    resources: Mapping[str, float]  # of one node; negative: without limit
    max_count: int  # negative: without limit


class AutoscalerStatus(NamedTuple):
    """State of the second autoscaler, as far as it concerns requests for resources.

    Attributes:
        version: of the cluster's state, which includes the requests.
        seen_version: the version that the autoscaler has acted on.
        requested: bundles of the request that is in force.
        infeasible: the autoscaler can't fulfil that request.
        starting: nodes that are requested or starting, by the names of their types.
    """

    version: int
    seen_version: int
    requested: int
    infeasible: bool
    starting: Mapping[str, int]


def keep_interrupts(trainer: TorchTrainer) -> list[ActorHandle[Any]]:
    """Have a trainer's fit() leave SIGINT's handler alone; returns the list that its controller is put into.

    2.60.0: called in the main thread, fit() sets a handler of its own and never takes it back. It ends the process
    without a word and with an exit code that tells of no interruption, also long after the training, and it keeps the
    controller, its data's manager and their splitter alive until then. There is no setting for it.
    """
    controllers: list[ActorHandle[Any]] = []
    cast(Any, trainer)._register_sigint_handler = controllers.append
    return controllers


def end_cluster() -> None:
    """End the workers of the cluster that this process has started, if it has; the rest of it ends with this process.

    2.60.0: ray.shutdown() would do all that. But a thread that uses Ray meanwhile, or drops a reference to one of its
    objects, as Ray Data's does, ends the process on the spot with exit code 1, and parts of the cluster stay. So
    nothing is done here that such a thread could meet. Ray has the kernel end what it has started with its parent.
    """
    import psutil

    node = _own_node()
    if node is None or not node.is_head():
        return
    node.destroy_external_storage()  # objects that were spilled to disk
    for raylet in psutil.Process().children():
        with suppress(psutil.NoSuchProcess):
            if raylet.name() == RAYLET:
                raylet.suspend()  # it starts no more workers
                for process in raylet.children():
                    process.kill()


def log_folder() -> str:
    """The folder of Ray's logs on this process's node, the same on every node of the cluster.

    2.60.0: ray.init tells it in its banner only.
    """
    return str(_own_node().get_logs_dir_path())


def _own_node() -> Any:
    """The node that this process has started, or works on; none: it isn't connected.

    2.60.0: it has no public name.
    """
    from ray._private import worker

    return worker._global_node


def draining_nodes() -> set[str]:
    """Ids of the nodes that take no more work because they are about to go.

    2.60.0: ray.nodes() calls them alive, and ray.util.state has no such field.
    """
    from ray._private.state import state

    return set(state.get_draining_nodes())


def available_per_node() -> dict[str, dict[str, float]]:
    """Unreserved resources of each node, by its id.

    2.60.0: ray.available_resources() is the cluster's sum, ray.util.state has each node's total only.
    """
    from ray._private import state

    available = cast(Callable[[], dict[str, dict[str, float]]], state.available_resources_per_node)
    return available()


def published_node_groups() -> list[NodeGroup]:
    """The node groups that the platform publishes; empty where it publishes none.

    2.60.0: nothing public reads them.
    """
    from ray._private.state import state

    found: Any = state.get_cluster_config()
    return [NodeGroup(dict(group.resources), group.max_count) for group in found.node_group_configs] if found else []


def is_second_autoscaler() -> bool:
    """Whether the cluster runs the second autoscaler (v2).

    2.60.0: nothing public tells the two apart.
    """
    from ray.autoscaler.v2.utils import is_autoscaler_v2

    return bool(is_autoscaler_v2())


def second_autoscaler_status() -> AutoscalerStatus:
    """The state of the second autoscaler.

    2.60.0: ray.autoscaler.v2.sdk leaves out versions and infeasible requests; ray.util.state has nothing of it.
    """
    from ray.core.generated import autoscaler_pb2
    from ray.experimental import internal_kv

    messages, gcs = cast(Any, autoscaler_pb2), cast(Any, internal_kv).internal_kv_get_gcs_client()
    reply = messages.GetClusterStatusReply()
    reply.ParseFromString(gcs.get_cluster_status(timeout_s=10))
    cluster, autoscaler = reply.cluster_resource_state, reply.autoscaling_state
    starting: dict[str, int] = {}
    for requested in autoscaler.pending_instance_requests:
        starting[requested.ray_node_type_name] = starting.get(requested.ray_node_type_name, 0) + requested.count
    for instance in autoscaler.pending_instances:
        starting[instance.ray_node_type_name] = starting.get(instance.ray_node_type_name, 0) + 1
    constraints = cluster.cluster_resource_constraints
    return AutoscalerStatus(
        version=cluster.cluster_resource_state_version,
        seen_version=autoscaler.last_seen_cluster_resource_state_version,
        requested=sum(request.count for constraint in constraints for request in constraint.resource_requests),
        infeasible=bool(autoscaler.infeasible_cluster_resource_constraints),
        starting=starting,
    )


def first_autoscaler_nodes() -> list[str]:
    """The kinds of nodes that the first autoscaler (v1) reports as active; empty before its first report.

    2.60.0: `ray status` prints it for people; nothing public returns it.
    """
    from ray._private.ray_constants import DEBUG_AUTOSCALING_STATUS
    from ray.experimental.internal_kv import _internal_kv_get

    report = _internal_kv_get(DEBUG_AUTOSCALING_STATUS.encode())
    return list(json.loads(report).get("autoscaler_report", {}).get("active_nodes") or []) if report else []


def start_request_coordinator() -> None:
    """Start the actor that takes over all requests for resources, and lets those expire that nobody renews.

    2.60.0: Ray Data starts it with its first dataset. Its public face, ray.autoscaler.sdk.request_resources, has no
    expiry: a request would outlive a killed job, and keep nodes for ever.
    """
    from ray.data._internal import cluster_autoscaler

    cast(Any, cluster_autoscaler).get_or_create_autoscaling_coordinator()


class NodeCounter:
    """Counts a cluster's nodes without joining it: a driver that joins is part of what an autoscaler looks at.

    2.60.0: ray.nodes() needs ray.init, ray.util.state needs the dashboard.

    Args:
        address: host:port of the head.
    """

    def __init__(self, address: str) -> None:
        import ray._raylet

        self._client = cast(Any, ray._raylet).GcsClient(address)

    def workers(self) -> int:
        """Live nodes besides the head."""
        from ray.core.generated import gcs_pb2

        alive = cast(Any, gcs_pb2).GcsNodeInfo.ALIVE
        nodes = self._client.get_all_node_info(timeout=10).values()
        return sum(node.state == alive and not node.is_head_node for node in nodes)


def raylet_pid(node: Any) -> int:
    """Process id of the raylet of a node of ray.cluster_utils.Cluster.

    2.60.0: the node object has no public attribute for it.
    """
    from ray._private.ray_constants import PROCESS_TYPE_RAYLET

    return int(node.all_processes[PROCESS_TYPE_RAYLET][0].process.pid)


def raylet_has_ended() -> bool:
    """Whether the raylet of a cluster that this process has started has ended; all that Ray then says is what follows.

    A process that has joined another's cluster has no raylet of its own.
    """
    from ray._private.ray_constants import PROCESS_TYPE_RAYLET

    node = _own_node()
    return node is not None and any(kind == PROCESS_TYPE_RAYLET for kind, _ in node.dead_processes())


def fake_head_id() -> str:
    """The id that FAKE_PROVIDER expects of its head node (2.60.0: a constant of its module)."""
    from ray.autoscaler._private.fake_multi_node.node_provider import FAKE_HEAD_NODE_ID

    return str(FAKE_HEAD_NODE_ID)
