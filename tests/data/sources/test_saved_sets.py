"""The files of a saved data set are those that its state lists; other tables are not its business."""

from __future__ import annotations

import json

import pytest

from p2i_ray.data.sources import saved_sets

FILES = ["a/data-0.arrow", "a/data-1.arrow", "a/more.parquet", "b/data-0.arrow", "data-9.arrow"]


@pytest.mark.parametrize("listed", ["data-0.arrow", "data-1.arrow"])
def test_arrow_files_count_that_the_state_beside_them_lists(listed: str) -> None:
    state = json.dumps({"_data_files": [{"filename": listed}]}).encode()
    found = saved_sets.own(FILES, [*FILES, "a/state.json"], {"a/state.json": state}.__getitem__)
    assert found == [f"a/{listed}", *FILES[2:]]


@pytest.mark.parametrize(
    "state", [b"", b"[]", b"{}", b'{"_data_files": null}', b'{"_data_files": []}', b'{"_data_files": [{}]}']
)
def test_a_state_that_lists_nothing_leaves_all(state: bytes) -> None:
    assert saved_sets.own(FILES, [*FILES, "a/state.json"], lambda _: state) == FILES


def test_a_split_that_was_not_saved_again_is_left_out() -> None:
    files = ["d/train/0.arrow", "d/old/0.arrow", "other/0.arrow", "d/old/more/0.arrow"]
    state = json.dumps({"_data_files": [{"filename": "0.arrow"}]}).encode()
    contents = {f"{name.rpartition('/')[0]}/state.json": state for name in files}
    contents["d/dataset_dict.json"] = json.dumps({"splits": ["train", "test"]}).encode()
    assert saved_sets.own(files, contents, contents.__getitem__) == [files[0], *files[2:]]
