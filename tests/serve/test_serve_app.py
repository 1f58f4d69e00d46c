"""The shop's application: its settings, and a door that closes behind the last request."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from p2i_ray.config import Config, load
from p2i_ray.config.serve import ScaleConfig, ServeConfig, ShopConfig
from p2i_ray.errors import UserError
from p2i_ray.serve import app, painting


async def ask(door: app.Door) -> list[int]:
    """The status of one request."""
    seen: list[int] = []

    async def send(message: Any) -> None:
        if message["type"] == "http.response.start":
            seen.append(message["status"])

    async def receive() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    await door({"type": "http", "headers": [], "path": "/", "method": "GET"}, receive, send)
    return seen


def test_a_closed_door_lets_nobody_in_and_waits_for_those_inside() -> None:
    async def go() -> None:
        finish, inside = asyncio.Event(), asyncio.Event()

        async def slow(scope: Any, receive: Any, send: Any) -> None:
            inside.set()
            await finish.wait()
            await send({"type": "http.response.start", "status": 200, "headers": []})

        door = app.Door(slow)
        first = asyncio.create_task(ask(door))
        await inside.wait()
        assert await door.close(0.05) == 1
        assert await ask(door) == [503]
        closing = asyncio.create_task(door.close(30))
        finish.set()
        assert await closing == 0
        assert await first == [200]

    asyncio.run(go())


def test_the_mini_preset_serves_and_other_jobs_take_no_notice() -> None:
    shop = load(ShopConfig, "mini", ["serve.batch_size=3"])
    assert shop.serve.batch_size == 3 and shop.serve.painter.num_gpus == 0
    assert not hasattr(load(Config, "mini"), "serve")
    with pytest.raises(UserError, match="unknown setting"):
        load(Config, "mini", ["serve.batch_size=3"])


def test_wrong_settings_are_one_line(ray_cluster: None) -> None:
    with pytest.raises(UserError, match="batch_size"):
        app.build({"config": "mini", "serve": {"batch_siz": 2}})
    with pytest.raises(UserError, match=r"model folder .* is not there"):
        app.build({"config": "mini", "serve.model": "nowhere/model"})


def test_the_graph_has_a_front_a_painter_and_a_judge(ray_cluster: None) -> None:
    assert app.build({"config": "mini"})._bound_deployment.name == "Front"
    without = app.build({"config": "mini", "serve.judge": "false"})
    assert without._bound_deployment.init_args[3] is None


def test_replicas_follow_the_load_only_where_they_may() -> None:
    assert painting.scaling(ScaleConfig(min_replicas=2, max_replicas=2)) == {"num_replicas": 2}
    found = painting.scaling(ScaleConfig(min_replicas=0, max_replicas=4, ongoing=6))["autoscaling_config"]
    assert (found["min_replicas"], found["max_replicas"], found["target_ongoing_requests"]) == (0, 4, 6)
    assert painting.capacity(ServeConfig(batch_size=8, painter=ScaleConfig(max_replicas=2))) == 64 + 16
