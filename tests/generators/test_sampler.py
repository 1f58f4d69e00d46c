"""Painting by category and by reference: with new copies as the base alone, and bad requests in one line."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from diffusers import StableDiffusionInpaintPipeline

from p2i_ray.config import DiffusionConfig, ImageConfig
from p2i_ray.config.generators import GeneratorsConfig
from p2i_ray.data.images import Pixels
from p2i_ray.diffusion.sampling.sampler import Sampler, SamplerOptions
from p2i_ray.errors import UserError
from p2i_ray.generators import folder
from p2i_ray.generators.base import load_base
from p2i_ray.generators.painting import GeneratorPainting
from p2i_ray.generators.request import GeneratorRequest, Reference
from p2i_ray.generators.sampler import GeneratorSampler
from tests.support import by_diffusers
from tests.support.make_generators import BOTH, SETTINGS, make_generators
from tests.support.make_requests import make_request
from tests.support.tiny_xl import XlModels

pytestmark = pytest.mark.long

IMAGE = ImageConfig(resolution=64)


def reference(seed: int = 0, side: int = 64, product: bool = True) -> Reference:
    picture = np.random.default_rng(seed).integers(0, 256, (side, side, 3), np.uint8)
    mask = np.zeros((side, side), np.uint8)
    mask[: side // 4, : side // 4] = 255
    return Reference(picture, mask if product else None)


def request(number: int = 1, **changes: Any) -> GeneratorRequest:
    plain = make_request(number, **{"name": "cup", "steps": 2, **changes.pop("plain", {})})
    given = {"category": "round cup", "references": (reference(),), **changes}
    return GeneratorRequest(**plain.__dict__, **given)


def write(
    painter: DiffusionConfig, out: Path, kinds: tuple[str, ...] = BOTH, *, noise: float = 0.1, **changes: Any
) -> GeneratorPainting:
    """Generators in folders, and the method that paints with them."""
    settings = SETTINGS.model_copy(update=changes)
    parts = load_base(painter.base, painter, settings)
    places = {}
    for kind, generator in make_generators(parts, kinds, settings=settings, noise=noise).items():
        places[kind] = str(out / kind)
        folder.save(generator, places[kind], made_from=painter.base)
    return GeneratorPainting(painter, settings.model_copy(update=places))


def paint(method: GeneratorPainting, *requests: Any, model: str | None = None, **options: Any) -> list[Pixels]:
    model = model or method.diffusion.base
    method.check(model, IMAGE)
    return method.load(model, SamplerOptions(**options)).paint(requests)


@pytest.mark.parametrize("kinds", [("category",), ("personality",), BOTH])
@pytest.mark.parametrize("guidance", [1.0, 3.0])
def test_new_copies_beside_product2img_paint_what_it_paints_alone(
    tiny_painter: DiffusionConfig, tmp_path: Path, kinds: tuple[str, ...], guidance: float
) -> None:
    method = write(tiny_painter, tmp_path, kinds, noise=0, base_prompt="product2img")
    how = {"plain": {"guidance": guidance}}
    references = (reference(),) if "personality" in kinds else ()
    asked = [request(number, references=references, **how) for number in (1, 2)]
    expected = Sampler(tiny_painter.base, tiny_painter, SamplerOptions()).paint(asked)
    np.testing.assert_array_equal(paint(method, *asked), expected)


def test_the_base_reads_the_generators_prompt(tiny_painter: DiffusionConfig, tmp_path: Path) -> None:
    """A new identifier stands for the word that it starts from, so diffusers paints the same of that word."""
    method = write(tiny_painter, tmp_path, ("category",), noise=0)
    [own] = paint(method, request(references=()))
    pipeline = StableDiffusionInpaintPipeline.from_pretrained(
        tiny_painter.base, safety_checker=None, local_files_only=True
    )
    prompt = "a round cup, in background background"
    np.testing.assert_array_equal(own, by_diffusers.paint(pipeline, request(), prompt=prompt))
    one = write(tiny_painter, tmp_path / "one", ("personality",), noise=0)
    [own] = paint(one, request())
    np.testing.assert_array_equal(own, by_diffusers.paint(pipeline, request(), prompt="a round cup"))
    [named] = paint(one, request(category=None))
    np.testing.assert_array_equal(named, by_diffusers.paint(pipeline, request(), prompt="a cup"))


def test_beside_a_plain_model_as_it_is(plain_painter: DiffusionConfig, tmp_path: Path) -> None:
    painter = plain_painter.model_copy(update={"widen": False})
    method = write(painter, tmp_path, ("personality",), noise=0, base="text_to_image")
    [own] = paint(method, request())
    pipeline = StableDiffusionInpaintPipeline.from_pretrained(painter.base, safety_checker=None, local_files_only=True)
    grey = replace(request(), product=np.where(request().mask[..., None] >= 128, request().product, 127).astype("u1"))
    np.testing.assert_array_equal(own, by_diffusers.paint(pipeline, grey, prompt="a round cup"))
    with pytest.raises(UserError, match=r"set diffusion.widen=true"):
        GeneratorPainting(painter, method.settings.model_copy(update={"base": "inpainting"})).check(painter.base, IMAGE)


def test_category_and_reference_matter_and_pictures_do_not_see_each_other(
    tiny_painter: DiffusionConfig, tmp_path: Path
) -> None:
    method = write(tiny_painter, tmp_path)
    asked = [
        request(),
        request(category="back"),
        request(references=(reference(1),)),
        request(references=(reference(product=False),)),
    ]
    painter = method.load(tiny_painter.base, SamplerOptions(fill_to=4))
    together = painter.paint(asked)
    assert len({picture.tobytes() for picture in together}) == 4
    for one, picture in zip(asked, together, strict=True):
        np.testing.assert_array_equal(painter.paint([one])[0], picture)
        inside = one.mask == 255
        np.testing.assert_array_equal(picture[inside], one.product[inside])
    unseen = reference()
    assert unseen.mask is not None
    unseen.picture[unseen.mask == 255] = 7  # a reference's product is not looked at
    np.testing.assert_array_equal(painter.paint([request(references=(unseen,))])[0], together[0])
    large = reference(3, 64)
    doubled = Reference(large.picture.repeat(2, 0).repeat(2, 1), None)
    np.testing.assert_array_equal(
        *(painter.paint([request(references=(Reference(r.picture, None),))])[0] for r in (large, doubled))
    )  # of twice the size: made smaller


@pytest.mark.parametrize("kinds", [("category",), ("personality",), BOTH])
def test_in_a_mixed_batch_a_picture_is_the_same_as_alone(
    tiny_painter: DiffusionConfig, tmp_path: Path, kinds: tuple[str, ...]
) -> None:
    """As the service paints: requests that differ in guidance and negative prompt, in batches of any size."""
    method = write(tiny_painter, tmp_path, kinds)
    painter = method.load(tiny_painter.base, SamplerOptions(mixed=True, copy_weights=True, cached_texts=2))
    styles = [(reference(seed),) if "personality" in kinds else () for seed in range(3)]
    asked = [
        request(1, references=styles[0]),
        request(2, references=styles[1], category="bag", plain={"guidance": 7.0, "negative": "bag"}),
        request(3, references=styles[2], plain={"negative": "round cup"}),
    ]
    assert len({one.batch_key for one in asked}) == 1
    together = painter.paint(asked)
    for number in (2, 0, 1):
        np.testing.assert_array_equal(painter.paint([asked[number]])[0], together[number])
    np.testing.assert_array_equal(painter.paint([asked[1], asked[2]]), together[1:])
    uniform = method.load(tiny_painter.base, SamplerOptions()).paint(asked[1:2])[0]
    assert np.abs(uniform.astype(int) - together[1]).max() <= 1  # by other kernels


def test_where_references_are_optional_a_request_without_one_is_painted_without_the_copy(
    tiny_painter: DiffusionConfig, tmp_path: Path
) -> None:
    method = write(tiny_painter, tmp_path)
    bare = request(references=())
    assert bare.batch_key != request().batch_key

    def load(optional: bool, **changes: Any) -> GeneratorSampler:
        settings = method.settings.model_copy(update=changes)
        options = SamplerOptions(mixed=True)
        return GeneratorSampler(tiny_painter.base, tiny_painter, options, settings=settings, optional=optional)

    [own] = load(True).paint([bare])
    [expected] = load(False, personality=None).paint([bare])
    np.testing.assert_array_equal(own, expected)
    [plain] = load(True, category=None).paint([bare])
    [base] = Sampler(tiny_painter.base, tiny_painter, SamplerOptions(mixed=True)).paint([bare])
    np.testing.assert_array_equal(plain, base)  # by the base's own prompt
    with pytest.raises(UserError, match="the request has none"):
        load(False).paint([bare])


def test_weights_of_outputs(tiny_painter: DiffusionConfig, tmp_path: Path) -> None:
    method = write(tiny_painter, tmp_path, base_prompt="product2img")
    off = method.settings.model_copy(update={"category_scale": 0.0, "personality_scale": 0.0})
    [expected] = Sampler(tiny_painter.base, tiny_painter, SamplerOptions()).paint([request()])
    np.testing.assert_array_equal(paint(GeneratorPainting(tiny_painter, off), request())[0], expected)
    assert not np.array_equal(paint(method, request())[0], expected)


def test_in_bfloat16(tiny_painter: DiffusionConfig, tmp_path: Path) -> None:
    """New copies beside a base that computes in bfloat16: the base's picture."""
    method = write(tiny_painter, tmp_path, noise=0, base_prompt="product2img")
    expected = Sampler(tiny_painter.base, tiny_painter, SamplerOptions(dtype="bf16")).paint([request()])
    np.testing.assert_array_equal(paint(method, request(), dtype="bf16"), expected)


def test_beside_stable_diffusion_xl(xl_models: XlModels, tmp_path: Path) -> None:
    painter = xl_models.painter()
    method = write(painter, tmp_path, noise=0, base_prompt="product2img")
    expected = Sampler(painter.base, painter, SamplerOptions()).paint([request()])
    np.testing.assert_array_equal(paint(method, request()), expected)


def test_what_is_wrong_with_a_request_is_one_line(tiny_painter: DiffusionConfig, tmp_path: Path) -> None:
    method = write(tiny_painter, tmp_path, noise=0, unknown_category="error")
    painter = method.load(tiny_painter.base, SamplerOptions())

    def fails(line: str, asked: Any) -> None:
        with pytest.raises(UserError, match=line):
            painter.paint([request(), asked])

    full, flat = reference(), reference()
    assert full.mask is not None and flat.mask is not None
    full.mask[:] = 255
    flat.picture[flat.mask < 128] = (250, 251, 252)
    fails("takes one reference picture, the request has none", request(references=()))
    fails("takes one reference picture, the request has 2", request(references=(reference(), reference(1))))
    fails("the reference is all product", request(references=(full,)))
    fails(r"the reference has no background: .* one colour, \(250, 251, 252\)", request(references=(flat,)))
    wide = Reference(reference(0, 64).picture[:32])
    fails("the reference has 64x32 pixels, what is to be painted 64x64: another shape", request(references=(wide,)))
    odd = Reference(reference().picture, np.zeros((32, 32), np.uint8))
    fails("has 64x64 pixels, its mask 32x32", request(references=(odd,)))
    fails("category 'kup' was not trained; the nearest name is 'cup'", request(category="kup"))
    fails("the request has no category", request(category=None))
    fails("the request has no category", make_request(1))
    alone = GeneratorPainting(tiny_painter, method.settings.model_copy(update={"personality": None}))
    with pytest.raises(UserError, match=r"which only generators.personality can use"):
        alone.load(tiny_painter.base, SamplerOptions()).paint([request()])
    with pytest.raises(UserError, match=r"give generators.category, generators.personality or both"):
        GeneratorPainting(tiny_painter, GeneratorsConfig()).check(tiny_painter.base, IMAGE)
    nearest = GeneratorPainting(tiny_painter, method.settings.model_copy(update={"unknown_category": "nearest"}))
    asked = [request(category="cup"), request(category="kup")]
    assert len(nearest.load(tiny_painter.base, SamplerOptions()).paint(asked)) == 2
    assert nearest.notes({"category": "kup"}) == {"painted_as": "cup"} and list(nearest.written) == ["painted_as"]
    assert nearest.notes({"category": " CUP"}) == {"painted_as": None}
    by_style = replace(nearest, settings=nearest.settings.model_copy(update={"category": None}))
    assert by_style.notes({"category": "kup"}) == {} and not by_style.written


def test_it_tries_itself_out_and_workers_get_absolute_places(tiny_painter: DiffusionConfig, tmp_path: Path) -> None:
    method = write(tiny_painter, tmp_path, noise=0)
    sampler: Any = method.load(tiny_painter.base, SamplerOptions(copy_weights=True))
    sampler.try_out(16)
    relative = GeneratorPainting(tiny_painter, GeneratorsConfig(category="a"))
    assert relative.parts == [str(Path("a").absolute())] and relative.anywhere().settings.personality is None
