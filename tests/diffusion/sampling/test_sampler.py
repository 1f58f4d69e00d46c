"""Sampling in batches: each image is the same, to the bit, whatever else is in its batch."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionInpaintPipeline

from p2i_ray.config import DiffusionConfig
from p2i_ray.diffusion.model import loading
from p2i_ray.diffusion.sampling.denoise import AbandonedError
from p2i_ray.diffusion.sampling.request import PaintRequest
from p2i_ray.diffusion.sampling.sampler import Sampler, SamplerOptions
from tests.support import by_diffusers
from tests.support.make_requests import DIFFUSION, brighter, make_request

pytestmark = pytest.mark.long


def load(location: str = DIFFUSION.base, **options: Any) -> Sampler:
    """A sampler as the service has it, unless other options are given."""
    return Sampler(location, DIFFUSION, SamplerOptions(**{"mixed": True, "copy_weights": True, **options}))


@pytest.fixture(scope="module")
def sampler() -> Sampler:
    return load()


def mixed(guidance: float = 3.0) -> list[PaintRequest]:
    """Requests that differ in all that may differ."""
    more = [{}, {"negative": "blur"}, {"soft_edge": 2.0}, {"seed": 0}]
    off = guidance == 1
    return [
        make_request(number, steps=2, **{"guidance": 1.0 if off else guidance + number / 4, **more[number % 4]})
        for number in range(9)
    ]


@pytest.mark.parametrize("guidance", [3.0, 1.0])
def test_an_image_is_the_same_alone_and_in_any_batch_at_any_place(sampler: Sampler, guidance: float) -> None:
    requests = mixed(guidance)
    alone = [sampler.paint([request])[0] for request in requests]
    for places in ((0, 1), (2, 1, 0), (5, 6, 7, 8), (8, 0, 4, 3, 1), range(9)):
        together = sampler.paint([requests[place] for place in places])
        for place, image in zip(places, together, strict=True):
            np.testing.assert_array_equal(image, alone[place])
    assert len({image.tobytes() for image in alone}) == len(alone)


def test_a_batch_that_nobody_waits_for_stops_after_the_step_and_the_next_one_is_as_ever(sampler: Sampler) -> None:
    requests = [make_request(number, steps=6) for number in range(2)]
    expected = sampler.paint(requests)
    asked = 0

    def wanted() -> bool:
        nonlocal asked
        asked += 1
        return asked < 2

    with pytest.raises(AbandonedError, match="after 2 of 6 steps"):
        sampler.paint(requests, wanted=wanted)
    assert asked == 2
    for image, other in zip(sampler.paint(requests, wanted=lambda: True), expected, strict=True):
        np.testing.assert_array_equal(image, other)


def test_also_before_they_are_rounded_to_levels(sampler: Sampler) -> None:
    unet = sampler.denoiser
    latents, states = torch.randn(32, 9, 16, 16), torch.randn(32, 32, 128)
    with torch.inference_mode():
        whole = unet(latents, torch.tensor(500.0), encoder_hidden_states=states).sample
        for rows in (1, 2, 3, 8, 16, 30):
            part = unet(latents[:rows], torch.tensor(500.0), encoder_hidden_states=states[:rows]).sample
            assert torch.equal(part, whole[:rows])


def test_images_are_those_of_uniform_batches(sampler: Sampler) -> None:
    requests = [make_request(number) for number in range(3)]
    expected = np.stack(load(mixed=False, copy_weights=False).paint(requests))
    found = np.stack(sampler.paint(requests))
    assert np.abs(found.astype(int) - expected.astype(int)).max() <= 1  # other kernels round otherwise
    assert (found != expected).mean() < 1e-3


def test_uniform_batches_are_filled_up(sampler: Sampler) -> None:
    uniform = load(mixed=False, fill_to=3)
    requests = [make_request(number) for number in range(3)]
    together = uniform.paint(requests)
    for request, image in zip(requests, together, strict=True):
        np.testing.assert_array_equal(uniform.paint([request])[0], image)


def test_the_products_own_pixels_stay(sampler: Sampler) -> None:
    request = make_request(4)
    [image] = sampler.paint([request])
    inside = request.mask == 255
    np.testing.assert_array_equal(image[inside], request.product[inside])
    assert (image[~inside] != request.product[~inside]).any()


def test_by_setting_the_model_paints_the_product_too(sampler: Sampler) -> None:
    request = make_request(0, steps=2)
    bare, pasted = sampler.paint([replace(request, paste_product=False), request])
    inside = request.mask == 255
    assert (bare[inside] != request.product[inside]).any()
    np.testing.assert_array_equal(bare[request.mask == 0], pasted[request.mask == 0])


def test_what_an_image_depends_on(sampler: Sampler) -> None:
    [first] = sampler.paint([make_request(0)])
    changes = ({"seed": 1}, {"guidance": 5.0}, {"negative": "a beach"}, {"steps": 4}, {"soft_edge": 3.0})
    for change in changes:
        [other] = sampler.paint([make_request(0, **change)])
        assert not np.array_equal(other, first), change


def test_which_requests_can_share_a_batch() -> None:
    key = make_request(0).batch_key
    assert key == make_request(1, seed=9, guidance=7.5, negative="text", soft_edge=1.0).batch_key
    assert key != make_request(0, steps=4).batch_key
    assert key != make_request(0, guidance=1.0).batch_key
    large = np.zeros((128, 64, 3), np.uint8)
    assert key != PaintRequest("cup", large, large[..., 0], seed=0, steps=3, guidance=3.0).batch_key


def test_filled_batches_give_the_same_images(sampler: Sampler) -> None:
    filled = load(fill_to=4)
    requests = [make_request(number) for number in range(3)]
    np.testing.assert_array_equal(filled.paint(requests[:1])[0], sampler.paint(requests)[0])
    assert len(filled.paint(requests)) == 3


def test_texts_are_encoded_once_and_the_latest_are_kept() -> None:
    sampler = load(cached_texts=2)
    encoded: list[int] = []
    sampler._text.encoders[0].register_forward_hook(lambda *_: encoded.append(1))
    for number in (0, 1, 0, 2, 0, 1):  # 1 goes when 2 comes
        sampler.paint([make_request(number, steps=1, guidance=2.0)])
    assert len(encoded) == 4
    assert len(sampler._text) == 2


def test_a_model_outlives_its_folder(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(DIFFUSION.base, folder)
    sampler = load(str(folder))
    [before] = sampler.paint([make_request(0)])
    for file in folder.rglob("*.safetensors"):
        file.write_bytes(bytes(file.stat().st_size))  # overwritten in place, under whoever has it mapped
    [after] = sampler.paint([make_request(0)])
    np.testing.assert_array_equal(after, before)


def test_values_that_are_not_finite_are_an_error() -> None:
    sampler = load()
    with torch.no_grad():
        next(sampler._pipeline.vae.decoder.parameters()).fill_(torch.nan)
    with pytest.raises(FloatingPointError, match="dtype"):
        sampler.try_out(64)


def test_brighter_is_brighter(tmp_path: Path, sampler: Sampler) -> None:
    folder = tmp_path / "model"
    shutil.copytree(DIFFUSION.base, folder)
    brighter(folder)
    [new], [old] = load(str(folder)).paint([make_request(0)]), sampler.paint([make_request(0)])
    assert new.mean() > old.mean() + 10


@pytest.mark.parametrize("painter", ["tiny_painter", "second_painter"])
@pytest.mark.parametrize("guidance", [1.0, 3.0])
def test_pictures_are_those_of_diffusers_own_pipeline(
    request: pytest.FixtureRequest, tmp_path: Path, painter: str, guidance: float
) -> None:
    diffusion: DiffusionConfig = request.getfixturevalue(painter)
    parts = loading.load(diffusion.base, diffusion)
    parts.pipeline().save_pretrained(tmp_path / "model")
    own = Sampler(str(tmp_path / "model"), diffusion, SamplerOptions())
    theirs = StableDiffusionInpaintPipeline.from_pretrained(tmp_path / "model", local_files_only=True)
    for name in ("a cup", "mug!!"):
        one = make_request(1, guidance=guidance, name=name)
        expected = by_diffusers.paint(theirs, one, prompt=f"{name} <background>")
        np.testing.assert_array_equal(own.paint([one])[0], expected)
