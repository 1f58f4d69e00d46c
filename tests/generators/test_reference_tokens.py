"""Reference tokens: CLIP's embedding, projected; the copy is told of a reference by them, and doesn't see it."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from torch.nn import functional

from p2i_ray.config import DiffusionConfig, TrainConfig
from p2i_ray.config.generators import GeneratorsConfig
from p2i_ray.diffusion.sampling.sampler import SamplerOptions
from p2i_ray.encoders.clip import clip_folder
from p2i_ray.errors import UserError
from p2i_ray.generators import folder, folder_check
from p2i_ray.generators.base import load_base
from p2i_ray.generators.objective import GeneratorObjective
from p2i_ray.generators.painting import GeneratorPainting
from p2i_ray.generators.personality import PersonalityGenerator
from p2i_ray.generators.reference_tokens import TOKENS, ReferenceTokens, reference_tokens
from p2i_ray.generators.request import GeneratorRequest, Reference
from p2i_ray.generators.step import generator_loss, trained_groups
from tests.support.make_generators import SETTINGS, make_batch, make_model


def told_by(diffusion: DiffusionConfig) -> GeneratorsConfig:
    return SETTINGS.model_copy(update={"reference_clip": diffusion.clip})


def tokens_of(generator: object) -> ReferenceTokens:
    assert isinstance(generator, PersonalityGenerator) and generator.tokens is not None
    return generator.tokens


def test_tokens_are_the_projected_embedding_of_clip(tiny_painter: DiffusionConfig) -> None:
    made = reference_tokens(tiny_painter.clip, width=16, seed=1)
    with clip_folder(tiny_painter.clip, setting="clip") as opened:
        clip, processor = opened.model(), opened.image_processor()
    side = made.side  # a picture of this size is not resized by either of the two
    pixels = np.random.default_rng(0).integers(0, 256, (side, side, 3), np.uint8)
    inputs = processor(Image.fromarray(pixels), do_resize=False, do_center_crop=False, return_tensors="pt")
    with torch.no_grad():
        embedding = clip.visual_projection(clip.vision_model(pixel_values=inputs["pixel_values"]).pooler_output)
        found = made(torch.from_numpy(pixels).permute(2, 0, 1)[None] / 255)
    unit = embedding / embedding.norm() * embedding.shape[-1] ** 0.5
    weight, bias = made.project.weight, made.project.bias
    expected = functional.layer_norm((unit @ weight.T + bias).reshape(1, TOKENS, 16), (16,))
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


def test_the_copy_learns_from_tokens_and_sees_no_pixel(tiny_painter: DiffusionConfig) -> None:
    parts, model = make_model(tiny_painter, ("personality",), settings=told_by(tiny_painter))
    batch = make_batch(parts)
    losses = generator_loss(model, batch)
    losses.total.backward()  # type: ignore[no-untyped-call]
    own = tokens_of(model.generator("personality"))
    assert own.project.weight.grad is not None and own.project.weight.grad.abs().sum() > 0
    assert all(weight.grad is None for weight in own.encoder.parameters())
    learning = {id(weight) for weight in trained_groups(model)["copy"]}
    assert id(own.project.weight) in learning and not learning & {id(weight) for weight in own.encoder.parameters()}
    with torch.no_grad():  # with tokens that say nothing, another reference changes nothing
        own.normalise.weight.zero_()
        first = generator_loss(model, batch).noise
        assert batch.reference is not None
        torch.testing.assert_close(generator_loss(model, batch._replace(reference=1 - batch.reference)).noise, first)


def test_a_folder_is_opened_with_the_clip_it_was_trained_with(tiny_painter: DiffusionConfig, tmp_path: Path) -> None:
    settings, out = told_by(tiny_painter), str(tmp_path / "told")
    parts, model = make_model(tiny_painter, ("personality",), settings=settings)
    folder.save(model.generator("personality"), out, made_from=tiny_painter.base)
    use = settings.model_copy(update={"personality": out})
    found = folder.load_generators(tiny_painter.base, load_base(tiny_painter.base, tiny_painter, use), use)
    saved, own = tokens_of(found["personality"]).learned(), tokens_of(model.generator("personality")).learned()
    assert saved.keys() == own.keys() and all(torch.equal(value, saved[name]) for name, value in own.items())
    assert not any("encoder" in name for name in saved)  # CLIP's own weights stay in CLIP's folder

    painter = GeneratorPainting(tiny_painter, use).load(tiny_painter.base, SamplerOptions())
    product, mask = np.full((16, 16, 3), 90, np.uint8), np.zeros((16, 16), np.uint8)
    mask[4:12, 4:12] = 255
    noise = np.random.default_rng(1).integers(0, 256, (2, 16, 16, 3), np.uint8)
    requests = [
        GeneratorRequest("cup", product, mask, seed=1, steps=2, guidance=2, category=None, references=(Reference(one),))
        for one in noise
    ]
    painted = painter.paint(requests)
    assert not np.array_equal(painted[0], painted[1])  # one noise, two references

    with pytest.raises(
        UserError, match=r"is told of references by a CLIP: set generators.reference_clip to its folder$"
    ):
        folder_check.check(out, "personality", tiny_painter.base, SETTINGS)
    [weights] = Path(shutil.copytree(tiny_painter.clip, tmp_path / "clip")).glob("*.safetensors")
    save_file({name: 2 * value for name, value in load_file(weights).items()}, weights, metadata={"format": "pt"})
    other = use.model_copy(update={"reference_clip": str(tmp_path / "clip")})
    with pytest.raises(UserError, match=r"is another CLIP than generators.personality=.* was trained with"):
        folder.load_generators(tiny_painter.base, parts, other)
    (tmp_path / "told" / folder_check.TOKENS).unlink()
    with pytest.raises(UserError, match=r"reference_tokens.safetensors is not there: the folder isn't complete"):
        folder_check.check(out, "personality", tiny_painter.base, use)


def test_a_clip_that_nothing_would_use_is_refused(tiny_painter: DiffusionConfig, tmp_path: Path) -> None:
    what = GeneratorObjective("category", told_by(tiny_painter))
    with pytest.raises(UserError, match=r"^generators.reference_clip is used by a personality-wise generator alone"):
        what.check(tiny_painter.base, tiny_painter, TrainConfig())
    _, model = make_model(tiny_painter, ("personality",))
    folder.save(model.generator("personality"), str(tmp_path / "sees"), made_from=tiny_painter.base)
    with pytest.raises(UserError, match=r"sees references themselves; leave generators.reference_clip out$"):
        folder_check.check(str(tmp_path / "sees"), "personality", tiny_painter.base, told_by(tiny_painter))
