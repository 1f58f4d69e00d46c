"""One worker's mistake is everyone's: those that know nothing of it would wait for it until the timeout."""

from __future__ import annotations

import torch.distributed as dist

from p2i_ray.errors import UserError


def raise_on_any_rank(line: str | None) -> None:
    """To be called by all workers, each with what keeps it from going on; none: nothing does.

    Raises:
        UserError: with the first line that any of them has, on all of them.
    """
    lines: list[str | None] = [None] * dist.get_world_size()
    dist.all_gather_object(lines, line)
    for found in lines:
        if found:
            raise UserError(found)
