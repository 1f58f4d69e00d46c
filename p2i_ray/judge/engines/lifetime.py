"""End of an application with its driver, however the driver ends: nothing else would free the GPUs."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from ray.actor import ActorHandle


def start_owner() -> ActorHandle[Any]:
    """Start an actor that Ray ends with this driver, on its node: losing another node must not look like its end."""
    import ray

    from p2i_ray.cluster import connection

    owner = ray.remote(_Owner).options(num_cpus=0, scheduling_strategy=connection.this_node()).remote()
    return cast("ActorHandle[Any]", owner)


def end_owner(owner: ActorHandle[Any]) -> None:
    """End the actor, when the application has been deleted: Serve's controller may hold a handle of it for ever."""
    import ray

    ray.kill(owner)


async def exit_with_driver(owner: ActorHandle[Any], application: str) -> None:
    """Wait in a replica until the owner has ended, then delete the application."""
    from ray import serve
    from ray.exceptions import RayActorError

    try:
        await owner.wait_forever.remote()
    except RayActorError:
        await asyncio.to_thread(serve.delete, application, _blocking=False)


class _Owner:
    async def wait_forever(self) -> None:
        """Never return; callers get an error when the actor ends."""
        await asyncio.Event().wait()
