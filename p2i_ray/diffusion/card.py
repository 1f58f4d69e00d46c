"""The model card and the training record that go with a trained folder."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from p2i_ray import storage
from p2i_ray.config import PainterConfig, TrainConfig

RECORD = "training.json"
MEANS = ("inpaint", "cl_background", "cl_name", "total")


class StepRecord(NamedTuple):
    """One optimizer step, over the global batch."""

    step: int  # from 1
    inpaint: float  # Eq. 3
    cl_background: float  # Eq. 4 of (b, B)
    cl_name: float  # Eq. 4 of (P, I)
    total: float  # Eq. 5
    lr: float  # of the UNet
    grad_norm: float  # L2, before clipping


def record(base: str, settings: TrainConfig, rows: int, seed: int, curve: list[StepRecord]) -> dict[str, Any]:
    """training.json: this round's settings and losses, and a summary of the rounds before it."""
    path = storage.join(base, RECORD)
    earlier = json.loads(storage.read_text(path))["rounds"] if storage.exists(path) else []
    tail = curve[-min(len(curve), 50) :]
    summary = {
        "steps": len(curve),
        "rows": rows,
        **{name: sum(getattr(r, name) for r in tail) / len(tail) for name in MEANS},
    }
    return {
        "seed": seed,
        "settings": settings.model_dump(mode="json"),
        "rounds": [*earlier, summary],
        "steps": [r._asdict() for r in curve],
    }


def dump(training: dict[str, Any]) -> str:
    """training.json as text, one step a line."""
    steps = ",\n".join(json.dumps(step) for step in training["steps"])
    rest = json.dumps({name: value for name, value in training.items() if name != "steps"}, indent=1)
    return f'{rest[:-2]},\n "steps": [\n{steps}\n]\n}}\n'


def write_card(painter: PainterConfig, settings: TrainConfig, training: dict[str, Any]) -> str:
    """README.md, as the Hugging Face hub shows it."""
    rounds = "\n".join(
        f"| {number} | {r['steps']} | {r['rows']} | "
        f"{r['inpaint']:.4f} | {r['cl_background']:.3f} | {r['cl_name']:.3f} |"
        for number, r in enumerate(training["rounds"], 1)
    )
    return f"""---
library_name: diffusers
pipeline_tag: image-to-image
tags: [stable-diffusion, inpainting, product-photography]
---

# Product2Img inpainting model

Paints a fitting background around a product: a cutout and the product's name go in, a photo comes out. Stable
Diffusion inpainting, fine-tuned with Contrastive Background Alignment (Product2Img, Eq. 3 to 5).

```python
from diffusers import StableDiffusionInpaintPipeline
pipe = StableDiffusionInpaintPipeline.from_pretrained("this/folder", use_safetensors=True)
pipe(prompt="Steel thermos bottle 500 ml {painter.token}", image=image, mask_image=mask).images[0]
```

`image` holds the product's pixels, `mask` is white where the background is to be painted. The prompt is the product's
name and then the learned token `{painter.token}`; cut long names, so that the token is not cut off.

## Training

Base model `{painter.base}`, frozen CLIP `{painter.clip}`. Trained: the UNet, the embedding of `{painter.token}`, the
text encoder{" (frozen here)" if settings.lr_text == 0 else ""}; all other token embeddings are frozen.

| setting | value |
|---|---|
| global batch | {settings.batch_size} |
| learning rate, UNet and `{painter.token}` | {settings.lr_unet:g} |
| learning rate, rest of the text encoder | {settings.lr_text:g} |
| lambda (Eq. 5), tau (Eq. 4) | {settings.contrastive_weight:g}, {settings.temperature:g} |
| names dropped for guidance | {settings.name_dropout:.0%} |
| arithmetic | {settings.dtype} |

Each round goes on from the one before; losses are means over its last 50 steps.

| round | steps | rows | inpainting | contrast, background | contrast, name |
|---|---|---|---|---|---|
{rounds}

## Limits

It knows the kinds of products and scenes that it was trained on. It changes only what is outside of the product's
mask, and its safety checker is off: look at what it paints before you publish it.
"""
