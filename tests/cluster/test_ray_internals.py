"""Everything that is taken from inside Ray still exists, and means the same."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import json
import re
from pathlib import Path
from typing import Any

import psutil
import pytest

from p2i_ray.cluster import ray_internals
from p2i_ray.cluster.ray_internals import NodeGroup

ROOT = Path(__file__).parents[2]


@pytest.fixture
def node_id(ray_cluster: None) -> str:
    import ray

    return str(ray.get_runtime_context().get_node_id())


def test_what_is_available_follows_what_actors_reserve(node_id: str) -> None:
    import ray

    class Holder:
        def hold(self) -> float:
            return ray_internals.available_per_node()[node_id]["CPU"]

    holder = ray.remote(num_cpus=1)(Holder).remote()
    before = float(ray.cluster_resources()["CPU"])
    assert ray.get(holder.hold.remote()) <= before - 1
    ray.kill(holder)


def test_no_node_is_draining(node_id: str) -> None:
    assert ray_internals.draining_nodes() == set()


def test_published_groups_are_read_as_a_platform_writes_them(node_id: str) -> None:
    import ray._raylet as raylet
    from ray.core.generated.autoscaler_pb2 import ClusterConfig  # type: ignore[attr-defined]
    from ray.experimental import internal_kv

    assert ray_internals.published_node_groups() == []
    published: Any = ClusterConfig()
    published.node_group_configs.add(resources={"CPU": 16, "GPU": 4}, min_count=0, max_count=2, name="gpu")
    space, key = raylet.GCS_AUTOSCALER_STATE_NAMESPACE.encode(), raylet.GCS_AUTOSCALER_CLUSTER_CONFIG_KEY.encode()
    internal_kv._internal_kv_put(key, published.SerializeToString(), namespace=space)
    try:
        assert ray_internals.published_node_groups() == [NodeGroup({"CPU": 16, "GPU": 4}, 2)]
    finally:
        internal_kv._internal_kv_del(key, namespace=space)


def test_the_first_autoscalers_report_is_read(node_id: str) -> None:
    from ray._private.ray_constants import DEBUG_AUTOSCALING_STATUS
    from ray.experimental import internal_kv

    key = DEBUG_AUTOSCALING_STATUS.encode()
    before = internal_kv._internal_kv_get(key)
    report = {"autoscaler_report": {"active_nodes": {"node_1": 1}}}
    internal_kv._internal_kv_put(key, json.dumps(report).encode(), overwrite=True)
    try:
        assert ray_internals.first_autoscaler_nodes() == ["node_1"]
        internal_kv._internal_kv_put(key, b"{}", overwrite=True)
        assert ray_internals.first_autoscaler_nodes() == []
    finally:
        internal_kv._internal_kv_put(key, before or b"", overwrite=True)


def test_the_second_autoscalers_status_counts_a_request_once_the_cluster_has_it(node_id: str) -> None:
    assert ray_internals.is_second_autoscaler() is False
    status = ray_internals.second_autoscaler_status()
    assert (status.infeasible, dict(status.starting)) == (False, {})
    assert status.version >= 0 and status.requested >= 0 and status.seen_version >= 0


def test_the_coordinator_of_requests_can_be_started(node_id: str) -> None:
    import ray

    ray_internals.start_request_coordinator()
    actors = ray.util.list_named_actors(all_namespaces=True)
    assert any("AutoscalingCoordinator" in actor["name"] for actor in actors), actors


def test_nodes_are_counted_from_outside(node_id: str) -> None:
    import ray

    assert ray_internals.NodeCounter(ray.get_runtime_context().gcs_address).workers() == 0


def test_the_raylet_is_a_process_of_its_node(node_id: str) -> None:
    import psutil
    import ray

    node = ray._private.worker._global_node  # as ray.cluster_utils.Cluster keeps them
    assert "raylet" in psutil.Process(ray_internals.raylet_pid(node)).name()


def test_the_stand_in_for_a_cloud_is_there() -> None:
    module, _, name = ray_internals.FAKE_PROVIDER.rpartition(".")
    assert callable(getattr(importlib.import_module(module), name).create_node)
    assert len(ray_internals.fake_head_id()) == 56  # a node id in hex digits


def test_the_installed_ray_is_the_one_that_was_read() -> None:
    import ray

    named = set(re.findall(r"(?<![\d.])\d+\.\d+\.\d+(?![\d.]*\d)", inspect.getsource(ray_internals)))
    assert named == {ray.__version__}, "read what is named there in the new version, then change the numbers"


def test_what_is_replaced_within_ray_is_there_and_used() -> None:
    from ray._private import ray_constants, services
    from ray.serve._private import replica
    from ray.train.torch import TorchTrainer

    assert ray_constants.ENABLE_RAY_CLUSTER and "ENABLE_RAY_CLUSTER" in inspect.getsource(services)
    assert callable(replica.add_port_to_grpc_server) and "= add_port_to_grpc_server(" in inspect.getsource(replica)
    assert list(inspect.signature(TorchTrainer._register_sigint_handler).parameters) == ["self", "controller"]
    assert "self._register_sigint_handler(controller)" in inspect.getsource(inspect.getmodule(TorchTrainer.fit))


def test_what_an_interrupted_job_ends_is_there(node_id: str) -> None:
    """It ends a cluster, so it is used in a process of its own: tests/console/test_interrupts.py."""
    from ray._private import worker

    node: Any = worker._global_node
    assert node.is_head() and not inspect.signature(node.destroy_external_storage).parameters
    raylets = [child for child in psutil.Process().children() if child.name() == ray_internals.RAYLET]
    assert len(raylets) == 1 and raylets[0].children()


def test_a_head_elsewhere_keeps_its_name_and_this_machine_has_one_address() -> None:
    assert ray_internals.joined_host("192.0.2.7") == "192.0.2.7"
    assert ray_internals.joined_host("localhost") == ray_internals.joined_host("127.0.0.1") != "localhost"


def test_rays_logs_are_in_the_folder(node_id: str) -> None:
    assert list(Path(ray_internals.log_folder()).glob("gcs_server*"))


@pytest.mark.parametrize("name", ray_internals.NOISY_LOGGERS)
def test_the_loggers_that_are_silenced_are_modules(name: str) -> None:
    assert importlib.util.find_spec(name)


def test_no_other_file_names_a_private_module_of_ray() -> None:
    private = re.compile(r"\bray(\.\w+)*\._\w+|\binternal_kv\b|\b\w+_pb2\b|\bcluster_autoscaler\b")
    for folder in ("p2i_ray", "chaos", "bench", "jobs"):
        for path in (ROOT / folder).rglob("*.py"):
            if path.name != "ray_internals.py":
                assert not private.search(path.read_text("utf-8")), path


def test_serves_proxy_has_the_headers_and_the_variable_that_the_services_edge_names() -> None:
    from ray._common.utils import import_attr
    from ray.serve._private import constants
    from ray.serve._private.http_util import validate_http_proxy_callback_return

    from p2i_ray.serve.edge import proxy

    assert {name.decode() for name in proxy.INTERNAL} == {
        constants.SERVE_HTTP_REQUEST_TIMEOUT_S_HEADER,
        constants.SERVE_HTTP_REQUEST_DISCONNECT_DISABLED_HEADER,
    }
    (name, path), *_ = proxy.VARIABLE.items()
    assert name == "RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH" and hasattr(constants, name)
    assert import_attr(path) is proxy.middlewares and validate_http_proxy_callback_return(proxy.middlewares())
