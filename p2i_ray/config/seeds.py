"""Seeds that follow from a run's seed and from what they are for."""

from __future__ import annotations

import hashlib


def seed_for(seed: int, *parts: str | int) -> int:
    """A 63-bit seed that is a function of a run's seed and of its purpose (an id, a round), of nothing else."""
    text = "\x1f".join(str(part) for part in (seed, *parts))
    return int.from_bytes(hashlib.sha256(text.encode("utf-8")).digest()[:8], "big") >> 1
