"""Raise one worker's error on all: the others would wait for it until the timeout."""

from __future__ import annotations

import torch.distributed as dist

from p2i_ray.errors import UserError


def raise_on_any_rank(line: str | None) -> None:
    """Raise an error that any worker has on all of them; every worker calls it, with its error's line or none.

    Raises:
        UserError: with the first line that any of them has, on all of them.
    """
    lines: list[str | None] = [None] * dist.get_world_size()
    dist.all_gather_object(lines, line)
    for found in lines:
        if found:
            raise UserError(found)
