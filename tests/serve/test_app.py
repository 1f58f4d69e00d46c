"""The generator service's application: its settings and its graph."""

from __future__ import annotations

from typing import Any

import pytest

from p2i_ray.config import Config, load
from p2i_ray.config.serve import ScaleConfig, ServeConfig, ServeJobConfig
from p2i_ray.errors import UserError
from p2i_ray.serve import app
from p2i_ray.serve.sampler import deployment


def test_the_mini_preset_serves_and_other_jobs_take_no_notice() -> None:
    config = load(ServeJobConfig, "mini", ["serve.max_batch_size=3"])
    assert config.serve.max_batch_size == 3 and config.serve.sampler.num_gpus == 0
    assert not hasattr(load(Config, "mini"), "serve")
    with pytest.raises(UserError, match="unknown setting"):
        load(Config, "mini", ["serve.max_batch_size=3"])


def test_wrong_settings_are_one_line(ray_cluster: None) -> None:
    with pytest.raises(UserError, match="batch_size"):
        app.build({"config": "mini", "serve": {"batch_siz": 2}})
    with pytest.raises(UserError, match="needs NO_SUCH_SECRET, with which messages are signed"):
        app.build({"config": "mini", "serve.webhooks": {"allowed": ["hooks.example"], "secret_env": "NO_SUCH_SECRET"}})
    with pytest.raises(UserError, match=r"model folder .* is not there"):
        app.build({"config": "mini", "serve.model": "nowhere/model"})


def test_the_graph_has_a_front_a_sampler_and_a_judge(ray_cluster: None) -> None:
    assert app.build({"config": "mini"})._bound_deployment.name == "Front"
    without = app.build({"config": "mini", "serve.judge": "false"})
    assert without._bound_deployment.init_kwargs["judge"] is None


def test_replicas_follow_the_load_only_where_they_may() -> None:
    def options(**scale: float) -> dict[str, Any]:
        return deployment.options(ServeConfig(sampler=ScaleConfig.model_validate(scale)), {})

    assert options(min_replicas=2, max_replicas=2)["num_replicas"] == 2
    found = options(min_replicas=0, max_replicas=4, target_ongoing_requests=6)["autoscaling_config"]
    assert (found["min_replicas"], found["max_replicas"], found["target_ongoing_requests"]) == (0, 4, 6)
    assert deployment.capacity(ServeConfig(max_batch_size=8, sampler=ScaleConfig(max_replicas=2))) == 64 + 16
