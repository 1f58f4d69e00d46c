"""Limits of a cluster's growth."""

from __future__ import annotations

from p2i_ray.cluster.autoscaler import UNMANAGED, Outlook, largest, outlook, starting
from p2i_ray.cluster.bin_packing import left_over
from p2i_ray.cluster.ray_internals import NodeGroup


def test_published_groups_say_how_far_a_cluster_grows() -> None:
    gpu, cpu = NodeGroup({"CPU": 16, "GPU": 4}, max_count=2), NodeGroup({"CPU": 8, "disk": -1}, max_count=-1)
    nodes = largest([gpu, cpu], most=50)
    assert sum(node.get("GPU", 0) for node in nodes) == 8 and len(nodes) == 52
    assert not left_over([{"GPU": 1, "CPU": 4}] * 8 + [{"CPU": 8}] * 50, nodes)
    assert len(left_over([{"GPU": 1, "CPU": 4}] * 9, nodes)) == 1


def test_a_resource_without_limit_is_more_than_any_bundle() -> None:
    (node,) = largest([NodeGroup({"CPU": 2, "memory": -1}, max_count=1)])
    assert not left_over([{"CPU": 1, "memory": 2.0**60}], [node])


def test_nodes_that_the_first_autoscaler_does_not_manage_are_named_by_their_ids() -> None:
    assert UNMANAGED.fullmatch("node_" + "0f" * 28) and not UNMANAGED.fullmatch("gpu_worker")


def test_a_cluster_of_this_process_does_not_grow(ray_cluster: None) -> None:
    assert outlook([{"CPU": 1000.0}]) is Outlook.NO
    assert dict(starting()) == {}
