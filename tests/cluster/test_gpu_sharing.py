"""Judge and other steps on the same GPUs: the fraction of each, and that no two of a kind meet on one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from p2i_ray.cluster import resources
from p2i_ray.cluster.bin_packing import left_over
from p2i_ray.cluster.gpu_sharing import with_shared_gpus
from p2i_ray.config import Config, load
from p2i_ray.errors import UserError
from p2i_ray.judge.engines.vllm.settings import engine_arguments, engine_environment
from p2i_ray.run import step_table
from p2i_ray.run.folder import Run
from p2i_ray.steps import settings_check
from p2i_ray.steps.overlap.engines import JudgeEngines

ROOT = Path(__file__).parents[2]
NODE = {"CPU": 40.0, "GPU": 4.0, "accelerator_type:A100": 1.0}
HEAD = {"CPU": 2.0}
# As a program, because a process has one cluster. GPUs are numbers to Ray, so a machine without any will do.
FOUR_GPUS = """
import json
import sys
import threading

import ray
from ray.util.placement_group import placement_group
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

from p2i_ray.cluster import resources
from p2i_ray.config import Config, load
from p2i_ray.run.folder import Run
from p2i_ray.steps import settings_check
from p2i_ray.steps.overlap.engines import JudgeEngines


class Process:
    def gpus(self):
        return ray.get_gpu_ids()


class Loading(Process):
    def __init__(self, loaded):
        ray.get(loaded.wait.remote())


class Loaded:
    def __init__(self):
        self._event = threading.Event()

    def set(self):
        self._event.set()

    def wait(self):
        self._event.wait()


def start(bundle, what=Process, *given, **options):
    return ray.remote(what).options(**bundle.options(), **options).remote(*given)


def on(processes):
    return [gpu for found in ray.get([process.gpus.remote() for process in processes]) for gpu in found]


class SlowJudge:
    def start(self):
        self.engines = [start(need.bundle, Loading, loaded) for _ in range(need.count)]
        on(self.engines)


ray.init(address="local", num_cpus=40, num_gpus=4, resources={"accelerator_type:A100": 1}, include_dashboard=False)
run, judge = Run.open(sys.argv[1], load(Config, "a100x4")), SlowJudge()
config, need = run.config, resources.judge(run.config.judge)
loaded = ray.remote(Loaded).options(num_cpus=0, max_concurrency=9).remote()
JudgeEngines(run, judge).reserve()  # returns while the engines still load
found = {}
for other in (resources.generate(config.generate), resources.features(config.features)):
    workers = [start(other.bundle) for _ in range(other.count)]
    found[other.step] = on(workers)
    for worker in workers:
        ray.kill(worker)
ray.get(loaded.set.remote())
found["judge"] = on(judge.engines)
train = resources.train(config.train)  # Ray Train reserves its workers as one group
group = placement_group([train.bundle.resources()] * train.count)
ray.get(group.ready())
place = PlacementGroupSchedulingStrategy(group)
found["train"] = on([start(train.bundle, scheduling_strategy=place) for _ in range(train.count)])
ray.kill(judge.engines[0])
judge.engines[0] = start(need.bundle)
found["judge, one replaced"] = on(judge.engines)
print(json.dumps(found))
"""


def test_each_takes_its_share_and_the_engines_stay() -> None:
    config = with_shared_gpus(load(Config, "a100x4"))
    assert (config.judge.num_gpus, config.judge.keep_warm, config.judge.gpu_memory_utilization) == (0.6, True, 0.55)
    others = (config.features, config.train, config.generate, config.evaluate)
    assert [group.num_gpus for group in others] == [0.4] * 4
    for phase in step_table.phases(config):
        assert not left_over([bundle.resources() for bundle in resources.bundles(phase)], [NODE, HEAD]), phase[0].step


def test_the_held_out_judge_gets_what_the_engines_leave() -> None:
    config = with_shared_gpus(load(Config, "a100x4", ["evaluate.judge.model=m"]))
    found = config.held_out_judge
    assert found is not None and (found.num_gpus, found.gpu_memory_utilization, found.keep_warm) == (0.4, 0.35, False)
    phase = next(phase for phase in step_table.phases(config) if phase[0].step == "evaluate.judge")
    assert not left_over([bundle.resources() for bundle in resources.bundles(phase)], [NODE, HEAD])
    on_cpu = with_shared_gpus(load(Config, "a100x4", ["evaluate.judge.model=m", "evaluate.judge.num_gpus=0"]))
    assert on_cpu.held_out_judge is not None and on_cpu.held_out_judge.num_gpus == 0
    with pytest.raises(UserError, match=r"give evaluate\.judge\.num_gpus=1 or 0"):
        with_shared_gpus(load(Config, "a100x4", ["evaluate.judge.model=m", "evaluate.judge.num_gpus=2"]))


def test_no_two_engines_are_counted_on_one_gpu() -> None:
    """Five times 0.6 are less than four GPUs, and need five; on nodes of two there is room for all."""
    config = with_shared_gpus(load(Config, "a100x4", ["judge.replicas=5"]))
    bundles = [bundle.resources() for bundle in resources.bundles(resources.scoring(config.judge))]
    assert len(left_over(bundles, [NODE, HEAD])) == 1
    small = {"CPU": 20.0, "GPU": 2.0, "accelerator_type:A100": 1.0}
    for phase in step_table.phases(with_shared_gpus(load(Config, "a100x4"))):
        assert not left_over([bundle.resources() for bundle in resources.bundles(phase)], [small, small, HEAD])


def test_an_engine_that_shares_is_told_its_cache_and_measures_nothing() -> None:
    config = with_shared_gpus(load(Config, "a100x4"))
    assert engine_arguments(config.judge, 0)["kv_cache_memory_bytes"] == 20 * 2**30
    assert engine_arguments(load(Config, "a100x4").judge, 0)["kv_cache_memory_bytes"] is None  # on whole ones
    mini = load(Config, "mini").judge
    assert engine_arguments(mini, 0)["kv_cache_memory_bytes"] is None
    assert engine_environment(mini)["VLLM_CPU_KVCACHE_SPACE"] == "1"


def test_engines_that_can_not_start_end_the_run_at_once(tmp_path: Path, ray_cluster: None) -> None:
    class Broken:
        def start(self) -> None:
            raise UserError("the judge models/x doesn't start: no such folder")

    run = Run.open(str(tmp_path / "run"), load(Config, "a100x4"))
    with pytest.raises(UserError, match="no such folder"):
        JudgeEngines(run, Broken()).reserve()  # type: ignore[arg-type]


def test_no_training_begins_before_the_engines_are_up(tmp_path: Path) -> None:
    class Seen:
        def __init__(self) -> None:
            self.asked: list[str] = []

        def start(self) -> None:
            self.asked.append("start")

        def release(self) -> None:
            self.asked.append("release")

    for share, expected in (("0.6", ["start", "release"]), ("null", ["release"])):
        run, judge = (
            Run.open(str(tmp_path / share), load(Config, "a100x4", [f"idr.judge_gpu_fraction={share}"])),
            Seen(),
        )
        JudgeEngines(run, judge).make_way()  # type: ignore[arg-type]
        assert judge.asked == expected


def test_less_memory_than_the_share_is_left_as_it_is() -> None:
    config = with_shared_gpus(
        load(Config, "a100x4", ["idr.judge_gpu_fraction=0.7", "judge.gpu_memory_utilization=0.5"])
    )
    assert (config.judge.num_gpus, config.judge.gpu_memory_utilization, config.train.num_gpus) == (0.7, 0.5, 0.3)


@pytest.mark.parametrize("setting", ["idr.judge_gpu_fraction=null", "idr.select=false"])
def test_without_a_share_or_a_judge_gpus_are_whole(setting: str) -> None:
    config = load(Config, "a100x4", [setting])
    assert with_shared_gpus(config) == config and config.train.num_gpus == 1


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        (["judge.tensor_parallel_size=2"], "needs engines of one GPU each: judge.num_gpus=1"),
        (["judge.hosted.url=https://example.org/v1"], "no judge.hosted.url; set idr.judge_gpu_fraction=null"),
        (["generate.num_gpus=0.5"], "generate.num_gpus=0.5; give 1 or 0"),
        (["judge.cascade.clip=models/clip", "judge.cascade.num_gpus=1"], "set judge.cascade.num_gpus=0"),
        (["judge.kv_cache_gb=null"], "idr.judge_gpu_fraction needs judge.kv_cache_gb"),
        (["judge.replicas=2"], "judge.replicas=2, and a step has 4 workers; set judge.replicas=4"),
        (["judge.max_replicas=6"], "leave judge.max_replicas out"),
    ],
)
def test_what_can_not_be_shared_is_told_before_anything_starts(settings: list[str], told: str) -> None:
    with pytest.raises(UserError, match=told):
        settings_check.check(load(Config, "a100x4", settings))


def test_a_run_may_go_on_with_whole_gpus_and_back(tmp_path: Path) -> None:
    whole = ["idr.judge_gpu_fraction=null", "judge.kv_cache_gb=null", "judge.gpu_memory_utilization=0.8"]
    for settings, gpus in (([], 0.6), (whole, 1), ([], 0.6)):
        assert Run.open(str(tmp_path / "run"), load(Config, "a100x4", settings)).config.judge.num_gpus == gpus


@pytest.mark.slow
def test_ray_puts_one_process_of_each_kind_on_each_gpu(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "RAY_AUTH_MODE": "disabled"}
    command = [sys.executable, "-c", FOUR_GPUS, str(tmp_path / "run")]
    ran = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=180)
    assert ran.returncode == 0, ran.stderr[-2000:]
    found = json.loads(ran.stdout.splitlines()[-1])
    assert list(found) == ["generate", "features", "judge", "train", "judge, one replaced"]
    for kind, gpus in found.items():
        assert sorted(gpus) == [0, 1, 2, 3], kind
