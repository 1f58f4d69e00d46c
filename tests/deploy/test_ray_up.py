"""The files of `ray up`, against the schema of the installed Ray."""

from __future__ import annotations

import importlib.util
import math
from pathlib import Path
from typing import Any

import pytest
import yaml

from p2i_ray.config import Config, load
from tests.support.ray_autoscaler import filled_out

CLUSTER = Path(__file__).parents[2] / "cluster"
CLOUDS = ("aws", "gcp")


def script(name: str) -> Any:
    spec = importlib.util.spec_from_file_location(name, CLUSTER / f"{name}.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def prepared(cloud: str) -> dict[str, Any]:
    return filled_out(yaml.safe_load((CLUSTER / f"{cloud}.yaml").read_text("utf-8")))


@pytest.mark.parametrize("cloud", CLOUDS)
def test_ray_takes_the_file(cloud: str) -> None:
    assert prepared(cloud)["provider"]["type"] == cloud


@pytest.mark.parametrize("cloud", CLOUDS)
def test_workers_come_from_zero_and_one_of_them_holds_what_the_preset_trains_with(cloud: str) -> None:
    config, preset = prepared(cloud), load(Config, "a100x4")
    head = config["available_node_types"].pop("head")
    assert config["head_node_type"] == "head"
    assert "GPU" not in head["resources"]
    assert config["max_workers"] == 1
    steps = [
        (preset.judge.replicas, preset.judge.num_gpus, preset.judge.num_cpus),
        (preset.features.num_workers, preset.features.num_gpus, preset.features.num_cpus),
        (preset.train.num_workers, preset.train.num_gpus, preset.train.num_cpus),
        (preset.generate.num_workers, preset.generate.num_gpus, preset.generate.num_cpus),
    ]
    for worker in config["available_node_types"].values():
        assert worker["min_workers"] == 0
        assert all(worker["resources"]["GPU"] >= count * gpus for count, gpus, _ in steps)
        assert all(worker["resources"]["CPU"] >= math.ceil(count * cpus) for count, _, cpus in steps)


@pytest.mark.parametrize("cloud", CLOUDS)
def test_spot_is_asked_for_before_the_same_machine_on_demand(cloud: str) -> None:
    kinds = prepared(cloud)["available_node_types"]
    spot, dear = kinds["a100-spot"], kinds["a100"]
    assert spot["priority"] > dear["priority"]
    assert spot["resources"] == dear["resources"]
    marks = {"aws": "MarketType: spot", "gcp": "provisioningModel: SPOT"}
    assert marks[cloud] in yaml.safe_dump(spot)
    assert marks[cloud] not in yaml.safe_dump(dear)


@pytest.mark.parametrize("cloud", CLOUDS)
def test_every_node_asks_for_the_token_and_gets_it_as_a_file(cloud: str) -> None:
    config = prepared(cloud)
    assert "--env RAY_AUTH_MODE=token" in config["docker"]["run_options"]
    assert config["file_mounts"]["/home/ray/.ray/auth_token"] == "~/.ray/auth_token"
    assert "--dashboard-host=127.0.0.1" in config["head_start_ray_commands"][-1]


@pytest.mark.parametrize("cloud", CLOUDS)
def test_every_node_logs_in_where_its_image_is(cloud: str) -> None:
    config = prepared(cloud)
    registry = config["docker"]["image"].split("/")[0]
    (login,) = config["initialization_commands"]
    command = {"aws": "docker login --username AWS --password-stdin", "gcp": "gcloud auth configure-docker"}[cloud]
    assert f"{command} {registry}" in login
    for kind in config["available_node_types"].values():
        assert "initialization_commands" not in kind  # would replace it


@pytest.mark.parametrize("cloud", CLOUDS)
def test_no_node_is_in_a_network_that_lets_all_the_world_try_ssh(cloud: str) -> None:
    """One without a group or network of its own would be: Ray makes the first, and GCP's default network is so."""
    config = prepared(cloud)
    own = {"aws": "SecurityGroupIds", "gcp": "networkInterfaces"}[cloud]
    assert all(kind["node_config"][own] for kind in config["available_node_types"].values())
    assert "0.0.0.0/0" not in yaml.safe_dump(config)


@pytest.mark.parametrize("cloud", CLOUDS)
def test_disks_hold_the_image_and_the_weights(cloud: str) -> None:
    for name, kind in prepared(cloud)["available_node_types"].items():
        if cloud == "aws":
            gigabytes = kind["node_config"]["BlockDeviceMappings"][0]["Ebs"]["VolumeSize"]
        else:
            gigabytes = kind["node_config"]["disks"][0]["initializeParams"]["diskSizeGb"]
        assert gigabytes >= (200 if name == "head" else 500)


def test_weights_are_copied_once(tmp_path: Path) -> None:
    weights = script("weights")
    source, target = tmp_path / "bucket", tmp_path / "node"
    (source / "judge").mkdir(parents=True)
    (source / "judge" / "config.json").write_text("{}")
    (source / "readme").write_text("two")
    assert weights.copy(f"file://{source}", target) == 2
    (target / "readme").write_text("cut")  # the same length: left alone
    (target / "judge" / "config.json").write_text("{")  # half of it, as a killed copy leaves it
    assert weights.copy(f"file://{source}", target) == 1
    assert (target / "judge" / "config.json").read_text() == "{}"
    with pytest.raises(weights.UserError, match="has no files"):
        weights.copy(f"file://{tmp_path}/nothing", target)
