"""HPSv2's file, on a tiny model of open_clip, against open_clip itself."""

from __future__ import annotations

from typing import Any

import open_clip
import pytest
import torch
from open_clip.transform import image_transform
from PIL import Image

from p2i_ray.data.images import Pixels
from p2i_ray.errors import UserError
from p2i_ray.evaluate.metrics.batch import Batch, MeasuredImages
from p2i_ray.evaluate.metrics.open_clip_pair import OpenClipPair
from p2i_ray.evaluate.metrics.text_image import scores
from tests.support.generated_rows import mask, picture

TINY: dict[str, Any] = {
    "embed_dim": 8,
    "vision_cfg": {"image_size": 32, "layers": 2, "width": 16, "head_width": 8, "patch_size": 8},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 2},
}


def row(seed: int, name: str) -> MeasuredImages:
    pixels: Pixels = picture(seed, (64, 64, 3))
    return MeasuredImages(picture=pixels, product=pixels, background=pixels, cutout=pixels, mask=mask(), name=name)


def test_hpsv2_as_its_own_script_computes_it() -> None:
    torch.manual_seed(0)
    reference = open_clip.CLIP(**TINY, output_dict=True).eval()
    pair = OpenClipPair(reference.state_dict(), "evaluate.hpsv2=hps.pt", TINY)
    rows = [row(1, "a lamp"), row(2, "a red chair " * 60)]
    found = scores(pair, "photo of {name}", scaled=False)(Batch([one.picture for one in rows], None, rows))  # type: ignore[arg-type]
    tokenizer, preprocess = open_clip.get_tokenizer("ViT-H-14"), image_transform(32, is_train=False)
    with torch.no_grad():
        for score, one in zip(found, rows, strict=True):
            answer = reference(
                preprocess(Image.fromarray(one.picture)).unsqueeze(0), tokenizer([f"photo of {one.name}"])
            )
            expected = float(answer["image_features"][0] @ answer["text_features"][0])
            assert score == pytest.approx(expected, abs=1e-6)


def test_another_model_is_refused() -> None:
    with pytest.raises(UserError, match=r"evaluate\.hpsv2=x holds no weights of open_clip's ViT-H-14: Missing key"):
        OpenClipPair({}, "evaluate.hpsv2=x", TINY)
