"""Each baseline paints what diffusers' own pipeline for it paints, from the same folder and seed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from diffusers import ControlNetModel, StableDiffusionControlNetInpaintPipeline, StableDiffusionInpaintPipeline
from PIL import Image
from transformers import CLIPImageProcessorPil, CLIPVisionModelWithProjection

from p2i_ray.config import DiffusionConfig, ImageConfig
from p2i_ray.config.baseline import BaselineConfig
from p2i_ray.data.images import ImageError, Pixels
from p2i_ray.diffusion.baselines.controlnet import edges_of
from p2i_ray.diffusion.baselines.extras import CONTEXT, OBJECT
from p2i_ray.diffusion.baselines.methods import Painting
from p2i_ray.diffusion.sampling.request import PaintRequest
from p2i_ray.diffusion.sampling.sampler import SamplerOptions
from p2i_ray.errors import UserError
from tests.support import by_diffusers
from tests.support.generated_rows import png
from tests.support.make_requests import make_request
from tests.support.tiny_baselines import (
    build_controlnet,
    build_ip_adapter,
    build_powerpaint,
    write_lama,
)
from tests.support.tiny_models import WIDTH
from tests.support.tiny_xl import SECOND_WIDTH, XlModels

pytestmark = pytest.mark.long

PROMPT = "{name} x"
IMAGE = ImageConfig(resolution=64)


def painting(painter: DiffusionConfig, method: Any, **settings: Any) -> Painting:
    given = {name: str(value) if isinstance(value, Path) else value for name, value in settings.items()}
    return Painting(painter, method, BaselineConfig(prompt=PROMPT, **given))


def paint(method: Painting, model: Path | str, requests: list[PaintRequest]) -> list[Pixels]:
    method.check(str(model), IMAGE)
    return method.load(str(model), SamplerOptions()).paint(requests)


def stock(base: Path | str, kind: Any = StableDiffusionInpaintPipeline, **parts: Any) -> Any:
    return kind.from_pretrained(base, safety_checker=None, local_files_only=True, **parts)


def test_stable_diffusion_inpainting_has_the_template_and_no_token(tiny_painter: DiffusionConfig) -> None:
    request = make_request(1, name="cup")
    [own] = paint(painting(tiny_painter, "sd_inpainting"), tiny_painter.base, [request])
    np.testing.assert_array_equal(own, by_diffusers.paint(stock(tiny_painter.base), request, prompt="cup x"))


@pytest.mark.parametrize("guidance", [1.0, 3.0])
def test_controlnet_sees_the_product_s_edges(tiny_painter: DiffusionConfig, tmp_path: Path, guidance: float) -> None:
    folder = build_controlnet(tmp_path / "canny")
    request, other = (make_request(n, name="cup", guidance=guidance) for n in (1, 2))
    method = painting(tiny_painter, "controlnet", controlnet=folder, controlnet_scale=0.8)
    own = paint(method, tiny_painter.base, [request, other])
    network = ControlNetModel.from_pretrained(folder, local_files_only=True)
    pipeline = stock(tiny_painter.base, StableDiffusionControlNetInpaintPipeline, controlnet=network)
    edges = Image.fromarray((edges_of(request) * 255).astype(np.uint8)).convert("RGB")
    more = {"control_image": edges, "controlnet_conditioning_scale": 0.8}
    expected = by_diffusers.paint(pipeline, request, prompt="cup x", **more)
    assert np.abs(own[0].astype(int) - expected).max() <= 1  # kernels round by the batch
    without = by_diffusers.paint(pipeline, request, prompt="cup x", **{**more, "controlnet_conditioning_scale": 0.0})
    assert np.abs(expected.astype(int) - without).max() > 1


def test_edges_are_of_the_product_alone() -> None:
    request = make_request(1)
    noisy = np.where(
        request.mask[..., None] >= 128, request.product, np.random.default_rng(0).integers(0, 256, (64, 64, 3))
    )
    other = PaintRequest("cup", noisy.astype(np.uint8), request.mask, seed=1, steps=1, guidance=1)
    np.testing.assert_array_equal(edges_of(other), edges_of(request))
    assert set(np.unique(edges_of(request))) == {0, 1}


def test_ip_adapter_sees_a_reference_without_its_product(tiny_painter: DiffusionConfig, tmp_path: Path) -> None:
    file, encoder = build_ip_adapter(tmp_path / "adapter", tiny_painter.base)
    settings = {"ip_adapter": file, "ip_adapter_encoder": encoder, "ip_adapter_sees": "reference"}
    columns = ("reference", "reference_cutout")
    method = replace(painting(tiny_painter, "ip_adapter", **settings), columns=columns)
    rng = np.random.default_rng(5)
    reference, mask = rng.integers(0, 256, (40, 40, 3), np.uint8), np.zeros((40, 40), np.uint8)
    mask[10:30, 10:30] = 255
    row = {"reference": png(reference), "reference_cutout": png(np.dstack([reference, mask]))}
    plain = make_request(1, name="cup")
    asked = method.request(plain, row, IMAGE)
    [own] = paint(method, tiny_painter.base, [asked])
    white = np.where(mask[..., None] > 0, 255, reference).astype(np.uint8)
    parts = {
        "image_encoder": CLIPVisionModelWithProjection.from_pretrained(encoder),
        "feature_extractor": CLIPImageProcessorPil.from_pretrained(encoder),
    }
    pipeline = stock(tiny_painter.base, **parts)
    pipeline.load_ip_adapter(str(file.parent), subfolder="", weight_name=file.name, image_encoder_folder=None)
    pipeline.set_ip_adapter_scale(0.5)
    expected = by_diffusers.paint(pipeline, plain, prompt="cup x", ip_adapter_image=Image.fromarray(white))
    np.testing.assert_array_equal(own, expected)
    with pytest.raises(ImageError, match=r"^reference: the row has none"):
        method.request(plain, {**row, "reference": None}, IMAGE)
    with pytest.raises(ImageError, match=r"^reference: the picture and its cutout have different sizes$"):
        method.request(plain, {**row, "reference": png(reference[:20])}, IMAGE)
    with pytest.raises(ImageError, match=r"^reference: the cutout has no alpha channel$"):  # else it would be all white
        method.request(plain, {**row, "reference_cutout": png(reference)}, IMAGE)


def test_the_published_image_encoder_has_no_preprocessing_of_its_own(
    tiny_painter: DiffusionConfig, tmp_path: Path
) -> None:
    file, encoder = build_ip_adapter(tmp_path / "adapter", tiny_painter.base)
    (encoder / "preprocessor_config.json").unlink()
    request = make_request(1, name="cup")
    [own] = paint(
        painting(tiny_painter, "ip_adapter", ip_adapter=file, ip_adapter_encoder=encoder), tiny_painter.base, [request]
    )
    pipeline = stock(tiny_painter.base)  # diffusers makes the preprocessing of the encoder's size
    pipeline.load_ip_adapter(str(file.parent), subfolder="", weight_name=file.name, image_encoder_folder="encoder")
    pipeline.set_ip_adapter_scale(0.5)
    white = Image.fromarray(np.where(request.mask[..., None] >= 128, request.product, 255).astype(np.uint8))
    expected = by_diffusers.paint(pipeline, request, prompt="cup x", ip_adapter_image=white)
    assert np.abs(own.astype(int) - expected).max() <= 1  # diffusers takes the one that resizes by torchvision


@pytest.mark.parametrize("guidance", [1.0, 3.0])
def test_ip_adapter_sees_the_product_on_white(tiny_painter: DiffusionConfig, tmp_path: Path, guidance: float) -> None:
    file, encoder = build_ip_adapter(tmp_path / "adapter", tiny_painter.base)
    method = painting(tiny_painter, "ip_adapter", ip_adapter=file, ip_adapter_encoder=encoder, ip_adapter_scale=0.7)
    requests = [make_request(n, name="cup", guidance=guidance) for n in (1, 2)]
    own = [picture for request in requests for picture in paint(method, tiny_painter.base, [request])]
    pipeline = stock(
        tiny_painter.base,
        image_encoder=CLIPVisionModelWithProjection.from_pretrained(encoder),
        feature_extractor=CLIPImageProcessorPil.from_pretrained(encoder),
    )
    pipeline.load_ip_adapter(str(file.parent), subfolder="", weight_name=file.name, image_encoder_folder=None)
    pipeline.set_ip_adapter_scale(0.7)
    for request, picture in zip(requests, own, strict=True):
        white = np.where(request.mask[..., None] >= 128, request.product, 255).astype(np.uint8)
        expected = by_diffusers.paint(pipeline, request, prompt="cup x", ip_adapter_image=Image.fromarray(white))
        np.testing.assert_array_equal(picture, expected)
    together = paint(method, tiny_painter.base, requests)
    assert np.abs(np.array(together).astype(int) - own).mean() < 3  # kernels round by the batch, random weights add up
    pipeline.set_ip_adapter_scale(0.0)
    blind = by_diffusers.paint(pipeline, requests[0], prompt="cup x", ip_adapter_image=Image.fromarray(white))
    assert np.abs(own[0].astype(int) - blind).max() > 1


def test_powerpaint_s_words_follow_the_prompt(tiny_painter: DiffusionConfig, tmp_path: Path) -> None:
    folder = build_powerpaint(tmp_path / "powerpaint", tiny_painter)
    request = make_request(1, name="cup")
    [own] = paint(painting(tiny_painter, "powerpaint"), folder, [request])
    prompt, negative = " ".join(["cup x", *CONTEXT]), " ".join(OBJECT)
    expected = by_diffusers.paint(stock(folder), request, prompt=prompt, negative_prompt=negative)
    np.testing.assert_array_equal(own, expected)
    assert not np.array_equal(expected, by_diffusers.paint(stock(folder), request, prompt=prompt))
    with pytest.raises(UserError, match="tokenizer doesn't know P_ctxt_0; give PowerPaint v1"):
        painting(tiny_painter, "powerpaint").check(tiny_painter.base, IMAGE)


@pytest.mark.parametrize(("side", "scale"), [("side", 255.0), ("side", 1.0), (128, 255.0)])
def test_lama_fills_in_where_the_mask_says(
    tiny_painter: DiffusionConfig, tmp_path: Path, side: int | str, scale: float
) -> None:
    file = write_lama(tmp_path / "lama.onnx", side=side, scale=scale)
    request = make_request(1)
    [own] = paint(painting(tiny_painter, "lama"), file, [request])
    inside = request.mask >= 128
    np.testing.assert_array_equal(own[request.mask == 255], request.product[request.mask == 255])
    far = np.asarray(Image.fromarray(request.mask).resize((64, 64))) == 0
    assert (own[far & ~inside] == 255 - 127).mean() > (0.99 if side == "side" else 0.8)  # grey, turned negative


def test_workers_get_absolute_places(tiny_painter: DiffusionConfig) -> None:
    method = painting(tiny_painter, "ip_adapter", ip_adapter="a.safetensors", controlnet="c")
    here = method.anywhere().settings
    assert (here.ip_adapter, here.controlnet) == (str(Path("a.safetensors").absolute()), str(Path("c").absolute()))
    assert method.parts == [here.ip_adapter] and here.ip_adapter_encoder is None


def test_pictures_of_other_parts_are_not_reused(tiny_painter: DiffusionConfig, tmp_path: Path) -> None:
    """What a ControlNet or an IP-Adapter has painted depends on its content, too, which a path alone doesn't tell."""
    folder = tmp_path / "controlnet"
    folder.mkdir()
    weights = folder / "model.safetensors"
    weights.write_bytes(b"one")
    one = painting(tiny_painter, "controlnet", controlnet=str(folder))
    before = one.made_with()
    assert one.made_with() == before
    weights.write_bytes(b"two")
    assert one.made_with() != before
    assert painting(tiny_painter, "sd_inpainting", controlnet=str(folder)).made_with().keys() == {"method", "baseline"}


def test_what_a_baseline_lacks_is_one_line(tiny_painter: DiffusionConfig, xl_models: XlModels, tmp_path: Path) -> None:
    def check(method: Any, line: str, model: Path | str = tiny_painter.base, **settings: Any) -> None:
        with pytest.raises(UserError, match=line):
            painting(tiny_painter, method, **settings).check(str(model), IMAGE)

    check("controlnet", "needs baseline.controlnet: the folder of a ControlNet for canny edges")
    check("controlnet", r"baseline.controlnet=/nowhere is not there", controlnet="/nowhere")
    check("controlnet", "is a UNet2DConditionModel, no ControlNetModel", controlnet=f"{tiny_painter.base}/unet")
    wide = build_controlnet(tmp_path / "wide", text=24)
    check(
        "controlnet", "has cross_attention_dim=24, the UNet of .* has 16: it belongs to another base", controlnet=wide
    )
    of_xl = build_controlnet(tmp_path / "of_xl", text=WIDTH + SECOND_WIDTH)
    line = r"paints with Stable Diffusion 1.x or 2.x, and model=\S+ is a Stable Diffusion XL; give another model"
    check("controlnet", line, model=xl_models.base, controlnet=of_xl)
    file, encoder = build_ip_adapter(tmp_path / "adapter", tiny_painter.base, text=24)
    given = {"ip_adapter": file, "ip_adapter_encoder": encoder}
    check("ip_adapter", "gives text 24 wide, the UNet of .* reads 16", **given)
    check("ip_adapter", "needs baseline.ip_adapter_encoder", ip_adapter=file)
    weights = Path(tiny_painter.base, "vae", "diffusion_pytorch_model.safetensors")
    check("ip_adapter", "it is no IP-Adapter", ip_adapter=weights, ip_adapter_encoder=encoder)
    (pickled := tmp_path / "adapter.bin").touch()
    line = r"adapter.bin is pickled; give the .safetensors file"
    check("ip_adapter", line, ip_adapter=pickled, ip_adapter_encoder=encoder)
    check("lama", r"must be LaMa's .onnx file")
    check("lama", r"must be LaMa's .onnx file", model=weights)
    three = write_lama(tmp_path / "three.onnx", channels=3)
    with pytest.raises(
        UserError, match=r"must take a picture \(N, 3, h, w\) and a mask \(N, 1, h, w\); it takes image"
    ):
        painting(tiny_painter, "lama").load(str(three), SamplerOptions())
