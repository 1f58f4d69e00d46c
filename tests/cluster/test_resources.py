"""The resources of steps, worked out by hand."""

from __future__ import annotations

from p2i_ray.cluster import resources
from p2i_ray.cluster.bin_packing import left_over
from p2i_ray.cluster.resources import ResourceSpec
from p2i_ray.config import Config, JudgeConfig, TrainConfig, load
from p2i_ray.config.base import Effect
from p2i_ray.config.loading import effects
from p2i_ray.config.serve import ServeJobConfig
from p2i_ray.run import step_table


def phases(preset: str, *settings: str) -> dict[str, list[ResourceSpec]]:
    """The bundles of each step's turn."""
    found = step_table.phases(load(Config, preset, settings))
    return {phase[0].step: resources.bundles(phase) for phase in found}


def test_four_a100_are_enough_for_each_step_in_turn() -> None:
    node = {"CPU": 16.0, "GPU": 4.0, "accelerator_type:A100": 1.0}
    turns = phases("a100x4")
    assert set(turns) == {"judge", "features", "train", "generate", "evaluate"}
    for step, bundles in turns.items():
        # 4 x 4 CPUs for engines or training processes; the small tasks sit on the head
        assert not left_over([b.resources() for b in bundles], [node, {"CPU": 2.0}]), step
        assert [b.gpus for b in bundles if b.gpus] == [1] * (1 if step == "evaluate" else 4)
        assert {b.accelerator_type for b in bundles if b.gpus} == {"A100"}
    other = {**node, "accelerator_type:H100": 1.0}
    del other["accelerator_type:A100"]
    assert len(left_over([b.resources() for b in turns["train"]], [other])) == 4


def test_a_warm_judge_is_counted_beside_the_others() -> None:
    warm = phases("a100x4", "judge.keep_warm=true")
    gpus = {step: sum(b.gpus for b in bundles) for step, bundles in warm.items()}
    assert gpus == {"judge": 4, "features": 8, "train": 8, "generate": 8, "evaluate": 5}
    without = phases("a100x4", "judge.keep_warm=true", "idr.select=false")
    assert "judge" not in without and sum(b.gpus for b in without["train"]) == 4
    hosted = phases("a100x4", "judge.hosted.url=https://example.org/v1")
    assert sum(b.gpus for b in hosted["train"]) == 4 and resources.HOSTED in hosted["train"]


def test_the_held_out_judge_has_a_turn_of_its_own() -> None:
    given = ("evaluate.judge.model=m", "evaluate.judge.replicas=2", "evaluate.judge.num_cpus=3")
    turns = phases("a100x4", *given)
    assert [(b.cpus, b.gpus) for b in turns["evaluate.judge"] if b.gpus] == [(3, 1)] * 2
    assert [(b.cpus, b.gpus) for b in turns["judge"] if b.gpus] == [(4, 1)] * 4
    warm = phases("a100x4", *given, "judge.keep_warm=true")  # the judge's engines stay up
    assert sum(b.gpus for b in warm["evaluate.judge"]) == 6
    assert "evaluate.judge" not in phases("a100x4", *given, "idr.select=false")
    hosted = phases("a100x4", *given, "evaluate.judge.hosted.url=https://example.org/v1")
    assert hosted["evaluate.judge"][0] == resources.HOSTED
    held_out = load(Config, "a100x4", given).held_out_judge
    assert held_out is not None
    assert resources.judge(held_out).lower[:3] == (
        "evaluate.judge.replicas",
        "evaluate.judge.num_gpus",
        "evaluate.judge.num_cpus",
    )


def test_tensor_parallel_engines_take_whole_gpus_of_one_node() -> None:
    settings = JudgeConfig(model="m", tensor_parallel_size=4, replicas=2, num_cpus=8, memory_gib=100)
    need = resources.judge(settings)
    assert (need.count, need.bundle) == (2, ResourceSpec(cpus=8, gpus=4, memory_gib=100))
    halves = [{"CPU": 64.0, "GPU": 2.0, "memory": 2.0**40}] * 4
    assert len(left_over([need.bundle.resources()] * 2, halves)) == 2


def test_a_training_needs_as_many_processes_as_it_may_shrink_to() -> None:
    assert resources.train(TrainConfig(num_workers=2, min_workers=1)).count == 1
    assert resources.train(TrainConfig(num_workers=4)).count == 4


def test_the_generator_service_needs_one_replica_of_each_kind() -> None:
    config = load(ServeJobConfig, "a100x4", ["serve.sampler.min_replicas=0", "serve.lmm.accelerator_type=L4"])
    sampler, judge = resources.generator_service(config)
    assert (sampler.count, sampler.bundle) == (1, ResourceSpec(cpus=1, gpus=1))
    assert judge.bundle == ResourceSpec(cpus=1, gpus=1, accelerator_type="L4")
    parallel = load(ServeJobConfig, "a100x4", ["judge.tensor_parallel_size=2"])
    (engine,) = resources.chat_service(parallel)
    assert engine.count == 2 and engine.bundle.gpus == 1


def test_a_bundle_is_passed_to_ray() -> None:
    bundle = ResourceSpec(cpus=2, gpus=0.5, memory_gib=1.5, accelerator_type="A100")
    assert bundle.options() == {"num_cpus": 2, "num_gpus": 0.5, "memory": 1610612736, "accelerator_type": "A100"}
    assert bundle.resources() == {"CPU": 2, "GPU": 0.5, "memory": 1610612736, "accelerator_type:A100": 0.001}
    assert str(bundle) == "GPU: 0.5, CPU: 2, memory: 1.5 GiB, accelerator A100"
    assert ResourceSpec(cpus=1).options() == {"num_cpus": 1, "num_gpus": 0}


def test_where_processes_run_may_change_in_a_run() -> None:
    groups = ("judge", "judge.cascade", "features", "train", "generate", "evaluate")
    settings = {f"{group}.{key}" for group in groups for key in ("accelerator_type", "memory_gib")}
    assert {effect for key, effect in effects(Config) if key in settings} == {Effect.RUNTIME}
