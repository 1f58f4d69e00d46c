"""PickScore on a tiny CLIP, against the published script's steps in transformers."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from PIL import Image
from transformers import CLIPModel, CLIPTokenizer
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

from p2i_ray.errors import UserError
from p2i_ray.evaluate.metrics import text_image
from p2i_ray.evaluate.metrics.batch import Batch, MeasuredImages
from p2i_ray.evaluate.metrics.text_image import ClipPair
from tests.support.generated_rows import mask, picture

CLIP = str(Path(__file__).parents[3] / "p2i_ray" / "mini" / "weights" / "evaluator_clip")


def test_pickscore_as_its_own_script_computes_it() -> None:
    pair = ClipPair(CLIP, setting="evaluate.pickscore")
    rows = [
        MeasuredImages(pixels, pixels, pixels, cutout=pixels, mask=mask(), name=name)
        for pixels, name in ((picture(1), "lamp"), (picture(2), "red chair" * 90))
    ]
    found = text_image.scores(pair, "{name}", scaled=True)(Batch([one.picture for one in rows], pair.embed, rows))
    model, tokenizer = CLIPModel.from_pretrained(CLIP), CLIPTokenizer.from_pretrained(CLIP)
    processor = CLIPImageProcessorPil.from_pretrained(CLIP)
    for score, one in zip(found, rows, strict=True):
        pixels = processor(Image.fromarray(one.picture), return_tensors="pt").pixel_values
        tokens = tokenizer(
            [one.name],
            padding=True,
            truncation=True,
            max_length=model.config.text_config.max_position_embeddings,
            return_tensors="pt",
        )
        with torch.no_grad():
            image = model.get_image_features(pixel_values=pixels).pooler_output
            text = model.get_text_features(**tokens).pooler_output
            expected = model.logit_scale.exp() * torch.nn.functional.cosine_similarity(image, text)
        assert score == pytest.approx(float(expected), rel=1e-3)
    assert found[0] != pytest.approx(found[1], rel=1e-3)


def test_the_text_names_the_product() -> None:
    text_image.check("a photo of {name}")
    with pytest.raises(UserError, match=r"evaluate\.text='a photo' has no \{name\}"):
        text_image.check("a photo")
