"""Bundles find room on nodes: small cases by hand, and what holds for all."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2i_ray.cluster.bin_packing import Resources, left_over


@pytest.mark.parametrize(
    ("bundles", "nodes", "without_room"),
    [
        ([{"CPU": 1}] * 4, [{"CPU": 2}, {"CPU": 2}], 0),
        ([{"CPU": 3}], [{"CPU": 2}, {"CPU": 2}], 1),  # the sum is enough, a node isn't
        ([{"CPU": 0.1}] * 10, [{"CPU": 1}], 0),  # no trouble with tenths
        ([{"CPU": 1}, {"CPU": 4, "GPU": 1}], [{"CPU": 4, "GPU": 1}, {"CPU": 1}], 0),  # the small one leaves the GPU
        ([{"CPU": 1}] * 2, [], 2),
        ([{"GPU": 1, "accelerator_type:A100": 0.001}] * 2, [{"GPU": 4}, {"GPU": 1, "accelerator_type:A100": 1}], 1),
    ],
)
def test_bundles_find_room_node_by_node(bundles: list, nodes: list, without_room: int) -> None:
    assert len(left_over(bundles, nodes)) == without_room


def test_a_share_of_a_gpu_is_of_one_gpu() -> None:
    share = {"GPU": 0.6}
    assert len(left_over([share] * 3, [{"GPU": 2}])) == 1
    assert not left_over([share] * 2 + [{"GPU": 0.4}] * 2, [{"GPU": 2}])
    assert len(left_over([{"GPU": 2}, {"GPU": 0.1}], [{"GPU": 2}])) == 1
    assert not left_over([{"GPU": 0.4}] * 4, [{"GPU": 1.6}], pooled=True)  # four GPUs with 0.6 taken of each


def test_the_bundles_without_room_are_returned() -> None:
    bundles = [{"CPU": 1.0}, {"CPU": 8.0}, {"GPU": 1.0}]
    assert left_over(bundles, [{"CPU": 4.0}]) == [{"GPU": 1.0}, {"CPU": 8.0}]
    assert bundles == [{"CPU": 1.0}, {"CPU": 8.0}, {"GPU": 1.0}]  # unchanged


def test_nodes_are_left_as_they_are() -> None:
    node = {"CPU": 4.0, "GPU": 1.0}
    left_over([{"CPU": 2.0, "GPU": 0.5}], [node])
    assert node == {"CPU": 4.0, "GPU": 1.0}


amounts = st.dictionaries(st.sampled_from(["CPU", "GPU", "memory"]), st.sampled_from([0.25, 0.5, 1.0, 2.0, 4.0]))


@given(st.lists(amounts, max_size=6), st.lists(amounts, max_size=4))
def test_no_more_is_placed_than_there_is(bundles: list[Resources], nodes: list[Resources]) -> None:
    lacking = left_over(bundles, nodes)
    for name in ("CPU", "GPU", "memory"):
        placed = sum(b.get(name, 0) for b in bundles) - sum(b.get(name, 0) for b in lacking)
        assert placed <= sum(node.get(name, 0) for node in nodes) + 1e-6
