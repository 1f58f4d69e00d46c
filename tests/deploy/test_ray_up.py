"""The files of `ray up`, against the schema of the installed Ray."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import yaml

from p2i_ray.config import Config, load

CLUSTER = Path(__file__).parents[2] / "cluster"
CLOUDS = ("aws", "gcp")


def prepared(cloud: str) -> dict[str, Any]:
    from ray.autoscaler._private.util import prepare_config, validate_config

    config: dict[str, Any] = prepare_config(yaml.safe_load((CLUSTER / f"{cloud}.yaml").read_text("utf-8")))
    validate_config(config)
    return config


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


def test_weights_are_copied_once(tmp_path: Path) -> None:
    import importlib.util

    spec = importlib.util.spec_from_file_location("weights", CLUSTER / "weights.py")
    assert spec and spec.loader
    weights = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(weights)
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
