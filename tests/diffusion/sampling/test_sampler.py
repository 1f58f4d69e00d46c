"""Painting in batches: each picture is the same, to the bit, whoever rode with it."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from p2i_ray.config import GenerateConfig
from p2i_ray.diffusion.sampling.pipeline import Painter
from p2i_ray.diffusion.sampling.request import PaintRequest
from p2i_ray.diffusion.sampling.sampler import Denoiser, compatible
from tests.support.make_requests import PAINTER, brighter, make_order


@pytest.fixture(scope="module")
def denoiser() -> Denoiser:
    return Denoiser(PAINTER.base, PAINTER)


def mixed(guidance: float = 3.0) -> list[PaintRequest]:
    """Orders that differ in all that may differ."""
    more = [{}, {"negative": "blur"}, {"soft_edge": 2.0}, {"seed": 0}]
    off = guidance == 1
    return [
        make_order(number, steps=2, **{"guidance": 1.0 if off else guidance + number / 4, **more[number % 4]})
        for number in range(9)
    ]


@pytest.mark.parametrize("guidance", [3.0, 1.0])
def test_a_picture_is_the_same_alone_and_in_any_batch_at_any_place(denoiser: Denoiser, guidance: float) -> None:
    orders = mixed(guidance)
    alone = [denoiser.paint([order])[0] for order in orders]
    for places in ((0, 1), (2, 1, 0), (5, 6, 7, 8), (8, 0, 4, 3, 1), range(9)):
        together = denoiser.paint([orders[place] for place in places])
        for place, picture in zip(places, together, strict=True):
            np.testing.assert_array_equal(picture, alone[place])
    assert len({picture.tobytes() for picture in alone}) == len(alone)


def test_also_before_they_are_rounded_to_levels(denoiser: Denoiser) -> None:
    unet = denoiser._pipeline.unet
    latents, states = torch.randn(32, 9, 16, 16), torch.randn(32, 32, 128)
    with torch.inference_mode():
        whole = unet(latents, torch.tensor(500.0), encoder_hidden_states=states).sample
        for rows in (1, 2, 3, 8, 16, 30):
            part = unet(latents[:rows], torch.tensor(500.0), encoder_hidden_states=states[:rows]).sample
            assert torch.equal(part, whole[:rows])


def test_pictures_are_those_of_the_packages_own_painter(denoiser: Denoiser) -> None:
    settings = GenerateConfig(num_inference_steps=3, guidance_scale=3, num_gpus=0, dtype="fp32")
    orders = [make_order(number) for number in range(3)]
    expected = Painter(PAINTER.base, PAINTER, settings, "cpu").paint(
        [order.name for order in orders],
        np.stack([order.product for order in orders]),
        np.stack([order.mask for order in orders]),
        [order.seed for order in orders],
    )
    found = np.stack(denoiser.paint(orders))
    assert np.abs(found.astype(int) - expected.astype(int)).max() <= 1  # other kernels round otherwise
    assert (found != expected).mean() < 1e-3


def test_the_products_own_pixels_stay(denoiser: Denoiser) -> None:
    order = make_order(4)
    [picture] = denoiser.paint([order])
    inside = order.mask == 255
    np.testing.assert_array_equal(picture[inside], order.product[inside])
    assert (picture[~inside] != order.product[~inside]).any()


def test_what_a_picture_depends_on(denoiser: Denoiser) -> None:
    [first] = denoiser.paint([make_order(0)])
    changes = ({"seed": 1}, {"guidance": 5.0}, {"negative": "a beach"}, {"steps": 4}, {"soft_edge": 3.0})
    for change in changes:
        [other] = denoiser.paint([make_order(0, **change)])
        assert not np.array_equal(other, first), change


def test_which_orders_go_together() -> None:
    key = compatible(make_order(0))
    assert key == compatible(make_order(1, seed=9, guidance=7.5, negative="text", soft_edge=1.0))
    assert key != compatible(make_order(0, steps=4))
    assert key != compatible(make_order(0, guidance=1.0))
    large = np.zeros((128, 64, 3), np.uint8)
    assert key != compatible(PaintRequest("cup", large, large[..., 0], seed=0, steps=3, guidance=3.0))


def test_filled_batches_give_the_same_pictures(denoiser: Denoiser) -> None:
    filled = Denoiser(PAINTER.base, PAINTER, full=4)
    orders = [make_order(number) for number in range(3)]
    np.testing.assert_array_equal(filled.paint(orders[:1])[0], denoiser.paint(orders)[0])
    assert len(filled.paint(orders)) == 3


def test_texts_are_encoded_once_and_the_latest_are_kept() -> None:
    denoiser = Denoiser(PAINTER.base, PAINTER, names=2)
    encoded: list[int] = []
    denoiser._pipeline.text_encoder.register_forward_hook(lambda *_: encoded.append(1))
    for number in (0, 1, 0, 2, 0, 1):  # 1 goes when 2 comes
        denoiser.paint([make_order(number, steps=1, guidance=2.0)])
    assert len(encoded) == 4
    assert len(denoiser._texts) == 2


def test_a_model_outlives_its_folder(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(PAINTER.base, folder)
    denoiser = Denoiser(str(folder), PAINTER)
    [before] = denoiser.paint([make_order(0)])
    for file in folder.rglob("*.safetensors"):
        file.write_bytes(bytes(file.stat().st_size))  # overwritten in place, under whoever has it mapped
    [after] = denoiser.paint([make_order(0)])
    np.testing.assert_array_equal(after, before)


def test_values_that_are_no_numbers_are_an_error() -> None:
    denoiser = Denoiser(PAINTER.base, PAINTER)
    with torch.no_grad():
        next(denoiser._pipeline.vae.decoder.parameters()).fill_(torch.nan)
    with pytest.raises(FloatingPointError, match="dtype"):
        denoiser.try_out(64)


def test_brighter_is_brighter(tmp_path: Path, denoiser: Denoiser) -> None:
    folder = tmp_path / "model"
    shutil.copytree(PAINTER.base, folder)
    brighter(folder)
    [new], [old] = Denoiser(str(folder), PAINTER).paint([make_order(0)]), denoiser.paint([make_order(0)])
    assert new.mean() > old.mean() + 10
