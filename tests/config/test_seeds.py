"""Seeds that follow from a run's."""

from __future__ import annotations

import hashlib

from hypothesis import given
from hypothesis import strategies as st

from p2i_ray.config.seeds import seed_for


@given(st.integers(0, 2**40), st.text(), st.text())
def test_seeds_depend_on_every_part(seed: int, one: str, two: str) -> None:
    assert 0 <= seed_for(seed, one, two) < 2**63
    assert seed_for(seed, one, two) == seed_for(seed, one, two)
    assert seed_for(seed, one, two) != seed_for(seed + 1, one, two)
    assert one == two or seed_for(seed, one, two) != seed_for(seed, two, one)


def test_a_known_seed() -> None:
    first = int.from_bytes(hashlib.sha256(b"7\x1fgenerate\x1fa1").digest()[:8], "big")
    assert seed_for(7, "generate", "a1") == first // 2
