"""Ids of pictures in tables: from their paths where each has one of its own, else from their bytes."""

from __future__ import annotations

import hashlib

from p2i_ray.data.sources.picture_ids import PictureIds, hashes

MUG, JUG = (hashlib.sha256(content).hexdigest()[:16] for content in (b"mug", b"jug"))
A, B = (hashlib.sha256(path.encode()).hexdigest()[:16] for path in ("a.jpg", "Küche/b.jpg"))


def test_paths_of_their_own_are_ids_and_others_need_bytes() -> None:
    paths = {
        "1": [b"a.jpg", "Küche/b.jpg".encode()],
        "2": [b"c.jpg", b"0.jpg"],  # 3 has the second, too
        "3": [b"0.jpg"],
        "4": [b"d.jpg", None],
        "5": [b""],
    }
    ids = PictureIds({table: hashes(some) for table, some in paths.items()})
    assert [table for table in (*paths, "a table of bytes") if ids.by_paths(table)] == ["1"]
    assert ids.of({"path": "a.jpg"}) == ids.of({"path": "a.jpg", "bytes": b"mug"}) == A
    assert ids.of({"path": "Küche/b.jpg"}) == B
    assert [ids.of({"path": path, "bytes": b"mug"}) for path in ("0.jpg", "", None)] == [MUG] * 3
    assert (ids.of(b"mug"), ids.of(b"jug")) == (MUG, JUG)


def test_a_row_without_a_photo_is_known_by_its_cutout() -> None:
    ids = PictureIds({})
    empty = {"path": None, "bytes": None}
    assert ids.of(empty, {"path": "cutout.png", "bytes": b"mug"}) == ids.of(None, b"mug") == MUG
    assert ids.of(empty, None) == ids.of() == ids.of(b"") == ""
