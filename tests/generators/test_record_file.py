"""A generator's own settings: which generator was beside it in training."""

from __future__ import annotations

from pathlib import Path

import pytest

from p2i_ray.generators import folder, record_file
from p2i_ray.generators.base import load_base
from tests.support.generator_folders import make_folders
from tests.support.make_generators import SETTINGS, make_generators
from tests.support.make_requests import DIFFUSION


def test_a_generator_without_the_one_that_was_beside_it_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    both = make_folders(tmp_path)
    record_file.warn_of_partners(both)
    record_file.warn_of_partners(both.model_copy(update={"category": None}))
    assert not caplog.records  # both learned alone: they may be added, and used apart
    parts = load_base(DIFFUSION.base, DIFFUSION, SETTINGS)
    (learned,) = make_generators(parts, ("personality",), noise=0.1).values()
    place = str(tmp_path / "learned-beside")
    folder.save(learned, place, made_from=DIFFUSION.base, beside=both.category)
    as_trained = both.model_copy(update={"personality": place})
    record_file.warn_of_partners(as_trained)
    assert not caplog.records
    record_file.warn_of_partners(as_trained.model_copy(update={"category": None}))
    weights = next(Path(str(both.category)).glob("*.safetensors"))
    weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    record_file.warn_of_partners(as_trained)
    alone, other = caplog.messages
    assert (
        f"generators.personality={place} was trained beside a category-wise generator, and paints without it" in alone
    )
    assert f"paints beside another, {both.category}: " in other and other.endswith(
        "give that one as generators.category"
    )
