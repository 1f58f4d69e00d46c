"""Short names of evaluations."""

from __future__ import annotations

from p2i_ray.evaluate import names


def test_the_last_name_where_it_tells_them_apart() -> None:
    assert names.short(["/runs/a", "s3://bucket/b"]) == {"/runs/a": "a", "s3://bucket/b": "b"}
    assert names.short(["/runs/a"]) == {"/runs/a": "a"}


def test_folders_with_equal_last_names_have_more_of_their_locations() -> None:
    assert names.short(["/runs/x/a", "/runs/y/a", "/b"]) == {"/runs/x/a": "x/a", "/runs/y/a": "y/a", "/b": "/b"}
    assert names.short(["/x/1/a", "/y/1/a"]) == {"/x/1/a": "x/1/a", "/y/1/a": "y/1/a"}
    assert names.short(["/a", "/x/a"]) == {"/a": "/a", "/x/a": "x/a"}
