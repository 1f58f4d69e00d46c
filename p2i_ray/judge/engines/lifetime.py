"""An application that goes when its driver goes, however that ends: nobody else would free the GPUs."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ray.actor import ActorHandle


def start_owner() -> ActorHandle:
    """An actor that Ray ends with this driver, on the driver's node: the loss of another must not look like its end."""
    import ray

    from p2i_ray.cluster import connection

    return ray.remote(_Owner).options(num_cpus=0, scheduling_strategy=connection.this_node()).remote()


async def exit_with_driver(owner: ActorHandle, application: str) -> None:
    """Wait in a replica until the owner is gone, then remove the application."""
    from ray import serve
    from ray.exceptions import RayActorError

    try:
        await owner.until_gone.remote()
    except RayActorError:
        await asyncio.to_thread(serve.delete, application, _blocking=False)


class _Owner:
    async def until_gone(self) -> None:
        """Returns never."""
        await asyncio.Event().wait()
