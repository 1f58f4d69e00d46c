"""Digests of files on disks and in buckets."""

from __future__ import annotations

from p2i_ray.storage import digests, locations


def test_a_digest_depends_on_names_lengths_and_content(root: str) -> None:
    def digest(content: bytes, name: str = "w", ends: int | None = None) -> str:
        locations.write_bytes(locations.join(root, name), content)
        return digests.digest([locations.join(root, name)], ends)

    long = bytes(range(250)) * 9000  # 2.25 MB: more than is read at once
    assert digest(long) == digest(long)
    assert len({digest(long), digest(long[:-1] + b"x"), digest(long[:-1]), digest(long, "v"), digest(long[::-1])}) == 5
    assert digests.digest([]) != digest(b"")
    changed = long[:99_999] + b"x" + long[100_000:]
    assert digest(changed) != digest(long)
    assert digest(changed, ends=1000) == digest(long, ends=1000) != digest(long[:-1] + b"x", ends=1000)
