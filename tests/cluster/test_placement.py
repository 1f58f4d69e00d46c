"""Room for a run's steps, on a real cluster."""

from __future__ import annotations

import threading

import pytest

from p2i_ray.cluster import placement
from p2i_ray.cluster.bin_packing import left_over
from p2i_ray.cluster.resources import ResourceSpec, StepResources
from p2i_ray.config import Config, load
from p2i_ray.errors import UserError
from p2i_ray.run import step_table

TWO_CPUS = StepResources(step="train", count=2, bundle=ResourceSpec(cpus=1), around=(), lower=("train.num_workers",))


def test_a_cluster_that_is_too_small_is_told_in_one_line(ray_cluster: None) -> None:
    with pytest.raises(UserError) as told:
        placement.check(step_table.phases(load(Config, "a100x4", ["judge.keep_warm=true"])))
    assert str(told.value) == (
        "train needs 4 x (GPU: 1, CPU: 4, accelerator A100) beside judge's 4 x (GPU: 1, CPU: 4, accelerator A100), "
        "and the cluster has no room for 8 x (GPU: 1, CPU: 4, accelerator A100): it has 1 node with CPU: 4 and can't "
        "grow to it; lower train.num_workers, train.min_workers, train.num_gpus, train.num_cpus, "
        "train.accelerator_type or judge.keep_warm, or add nodes"
    )
    with pytest.raises(UserError, match=r"generate needs 9 x .* it has 1 node .* or raise ray.local_cpus"):
        placement.check(step_table.phases(load(Config, "mini", ["generate.num_workers=9"])))
    placement.check(step_table.phases(load(Config, "mini")))


def test_a_step_waits_for_what_others_hold(ray_cluster: None) -> None:
    import ray

    class Holder:
        def held(self) -> bool:
            return True

    holder = ray.remote(num_cpus=3)(Holder).remote()
    assert ray.get(holder.held.remote())
    need = TWO_CPUS
    assert left_over([b.resources() for b in need.bundles()], placement.free())
    assert [taken["CPU"] for taken in placement.reserved() if taken.get("CPU", 0) >= 3]
    ray.kill(holder)
    placement.wait_for(need)  # returns when the holder is gone
    assert not left_over([b.resources() for b in need.bundles()], placement.free())


def test_what_is_free_and_what_is_reserved_are_all_there_is(ray_cluster: None) -> None:
    (total,), (free,) = placement.totals(), placement.free()
    reserved = sum(node.get("CPU", 0) for node in placement.reserved())
    assert total["CPU"] == 4 and free.get("CPU", 0) + reserved == pytest.approx(4)
    assert placement.reserved_gpus() == 0


def test_room_is_judged_as_if_nothing_else_ran(ray_cluster: None) -> None:
    assert placement.has_room((TWO_CPUS,))
    assert placement.has_room((TWO_CPUS, TWO_CPUS))
    assert not placement.has_room((TWO_CPUS, TWO_CPUS, TWO_CPUS))


@pytest.mark.parametrize(
    ("bundle", "count"),
    [(ResourceSpec(cpus=1), 4), (ResourceSpec(cpus=0.9), 4), (ResourceSpec(cpus=0.1), 40), (ResourceSpec(cpus=3), 1)],
)
def test_tasks_that_run_at_once(ray_cluster: None, bundle: ResourceSpec, count: int) -> None:
    need = StepResources(step="ingest", count=1, bundle=bundle, around=(), lower=())
    assert placement.at_once(need) == count


def test_there_is_a_task_at_once_where_nodes_are_still_to_come(ray_cluster: None) -> None:
    need = StepResources(step="ingest", count=1, bundle=ResourceSpec(gpus=1), around=(), lower=())
    assert placement.at_once(need) == 1


def test_a_start_that_has_ended_is_not_waited_for(ray_cluster: None) -> None:
    need = StepResources(step="judge", count=1, bundle=ResourceSpec(gpus=1), around=(), lower=("judge.replicas",))
    starting = threading.Event()
    placement.wait_until_reserved(0.0, need, starting.is_set)  # it has failed before it reserved anything
    placement.wait_until_reserved(-1.0, need, lambda: True)  # its GPU is reserved
