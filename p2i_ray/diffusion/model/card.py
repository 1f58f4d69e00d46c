"""The model card and the training record that go with a trained folder."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from p2i_ray.config import DiffusionConfig, TrainConfig
from p2i_ray.config.diffusion import NAME
from p2i_ray.diffusion.backbones.families import Family
from p2i_ray.storage import locations

RECORD = "training.json"
HUB_CACHE = "models--"  # begins a model's folder in the Hugging Face hub's cache: models--owner--name/snapshots/…
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


def record(
    base: str, diffusion: DiffusionConfig, settings: TrainConfig, *, rows: int, seed: int, curve: list[StepRecord]
) -> dict[str, Any]:
    """training.json: this round's settings and losses, and a summary of the rounds before it.

    Args:
        base: model folder that this round started from.
        diffusion: the model's settings.
        settings: of the training.
        rows: trained on.
        seed: of the training.
        curve: this round's steps.
    """
    path = locations.join(base, RECORD)
    before = json.loads(locations.read_text(path)) if locations.exists(path) else {}
    tail = curve[-min(len(curve), 50) :]
    summary = {
        "steps": len(curve),
        "rows": rows,
        **{name: sum(getattr(r, name) for r in tail) / len(tail) for name in MEANS},
    }
    return {
        "seed": seed,
        "diffusion": diffusion.model_dump(mode="json"),
        "settings": settings.model_dump(mode="json"),
        # What lora/ is added to: it holds all rounds since the last that trained the weights themselves.
        "lora_base": (before.get("lora_base") or base) if settings.lora_rank else None,
        "rounds": [*before.get("rounds", []), summary],
        "steps": [r._asdict() for r in curve],
    }


def dump(training: dict[str, Any]) -> str:
    """training.json as text, one step a line."""
    steps = ",\n".join(json.dumps(step) for step in training["steps"])
    rest = json.dumps({name: value for name, value in training.items() if name != "steps"}, indent=1)
    return f'{rest[:-2]},\n "steps": [\n{steps}\n]\n}}\n'


def write_card(family: Family, diffusion: DiffusionConfig, settings: TrainConfig, training: dict[str, Any]) -> str:
    """README.md, as the Hugging Face hub shows it: models by their names, no path of this machine."""
    rounds = "\n".join(
        f"| {number} | {r['steps']} | {r['rows']} | "
        f"{r['inpaint']:.4f} | {r['cl_background']:.3f} | {r['cl_name']:.3f} |"
        for number, r in enumerate(training["rounds"], 1)
    )
    base, clip = public_name(diffusion.base), public_name(diffusion.clip)
    return f"""---
library_name: diffusers
pipeline_tag: image-to-image
tags: [{"stable-diffusion-xl" if family.sized else "stable-diffusion"}, inpainting, product-photography]
---

# Product2Img inpainting model

Paints a fitting background around a product: a cutout and the product's name go in, a photo comes out.
{family.name} inpainting, fine-tuned with Contrastive Background Alignment (Product2Img, Eq. 3 to 5).

```python
from diffusers import {family.pipeline}
pipe = {family.pipeline}.from_pretrained("this/folder", use_safetensors=True)
pipe(prompt="{_prompt(diffusion)}", image=image, mask_image=mask{", " if family.call else ""}{family.call}).images[0]
```

It opens with diffusers 0.35 and newer, and with transformers 4 and 5. `image` holds the product's pixels,
`mask` is white where the background is to be painted. {_prompt_rule(diffusion)}
Diffusers makes a square of both unless `height` and `width` are given, multiples of 8.
{_adapter_use(family, diffusion, training)}
## Training

Base model `{base}`{", widened to 9 input channels where it had 4" if diffusion.widen else ""}; frozen CLIP
`{clip}`. Trained: {_trained(diffusion, settings)}; all other token embeddings are frozen.

| setting | value |
|---|---|
| global batch | {settings.batch_size} |
| learning rate, UNet{f" and `{diffusion.token}`" if diffusion.token else ""} | {settings.lr_unet:g} |
| learning rate, rest of the text encoder | {settings.lr_text:g} |
| lambda (Eq. 5), tau (Eq. 4) | {settings.contrastive_weight:g}, {settings.temperature:g} |
| names dropped for guidance | {settings.prompt_dropout:.0%} |
| learned token | {f"`{diffusion.token}`" if diffusion.token else "none (an ablation): no alignment with backgrounds"} |
| LoRA | {_lora(settings)} |
| weighting of Eq. 3 | {_weighting(settings)} |
| weights saved | {_average(settings)} |
| arithmetic | {settings.mixed_precision} |

Each round goes on from the one before; losses are means over its last 50 steps.

| round | steps | rows | inpainting | contrast, background | contrast, name |
|---|---|---|---|---|---|
{rounds}

## Limits

It knows the kinds of products and scenes that it was trained on. It changes only what is outside of the product's
mask, and its safety checker is off: look at what it paints before you publish it.
"""


def _prompt(diffusion: DiffusionConfig) -> str:
    name = diffusion.prompt.replace(NAME, "Steel thermos bottle 500 ml")
    return f"{name} {diffusion.token}" if diffusion.token else name


def _prompt_rule(diffusion: DiffusionConfig) -> str:
    words = (
        "the product's\nname" if diffusion.prompt == NAME else f"`{diffusion.prompt}`,\nwith the product's name in it,"
    )
    if not diffusion.token:
        return f"The prompt is {words.rstrip(',')}."
    return (
        f"The prompt is {words} and then the learned token `{diffusion.token}`; cut long names, so that the token is\n"
        "not cut off."
    )


def public_name(location: str) -> str:
    """A model folder's name as others may know it: the hub's, where its cache's path says it, or the folder's own."""
    parts = [part for part in location.replace("\\", "/").split("/") if part]
    cached = [part for part in parts if part.startswith(HUB_CACHE)]
    return cached[-1].removeprefix(HUB_CACHE).replace("--", "/", 1) if cached else parts[-1]


def _adapter_use(family: Family, diffusion: DiffusionConfig, training: dict[str, Any]) -> str:
    """Lines on the use of lora/ instead of the whole folder, where there is one."""
    if not training["lora_base"]:
        return ""
    name = public_name(training["lora_base"])
    base = name if "/" in name else f"path/to/{name}"
    token = _load_token(family, diffusion.token) if diffusion.token else ""
    return f"""
The same as an adapter on the model it was trained from:

```python
from diffusers import EulerAncestralDiscreteScheduler
pipe = {family.pipeline}.from_pretrained("{base}", use_safetensors=True)
pipe.scheduler = EulerAncestralDiscreteScheduler.from_config(pipe.scheduler.config)
pipe.load_lora_weights("this/folder/lora"){token}
```
"""


def _load_token(family: Family, token: str) -> str:
    """The lines that teach the base the token."""
    if not any(text.key for text in family.texts):
        return '\npipe.load_textual_inversion("this/folder/lora")'
    each = "".join(
        f'\npipe.load_textual_inversion(rows["{text.key}"], token="{token}", text_encoder=pipe.{text.encoder}, '
        f"tokenizer=pipe.{text.tokenizer})"
        for text in family.texts
    )
    # A published encoder says eos_token_id=2, and is then pooled where the highest id is: at the token.
    pooled = "".join(
        f"\npipe.{text.encoder}.text_model.eos_token_id = pipe.{text.tokenizer}.eos_token_id"
        for text in family.texts
        if text.pooled
    )
    rows = 'rows = load_file("this/folder/lora/learned_embeds.safetensors")'
    return f"\nfrom safetensors.torch import load_file\n{rows}{each}{pooled}"


def _trained(diffusion: DiffusionConfig, settings: TrainConfig) -> str:
    unet, text = "the UNet", "the text encoder" + (" (frozen here)" if settings.lr_text == 0 else "")
    if settings.lora_rank:
        unet = "adapters on the UNet's attention"
        text = "adapters on the text encoder's attention" if settings.lr_text else "not the text encoder"
    return ", ".join([unet, *([f"the embedding of `{diffusion.token}`"] if diffusion.token else []), text])


def _lora(settings: TrainConfig) -> str:
    if not settings.lora_rank:
        return "none: full fine-tuning"
    return f"rank {settings.lora_rank}, alpha {settings.lora_alpha or settings.lora_rank:g}, on attention layers"


def _weighting(settings: TrainConfig) -> str:
    return "none" if settings.min_snr_gamma is None else f"min-SNR, gamma {settings.min_snr_gamma:g}"


def _average(settings: TrainConfig) -> str:
    return "the last" if settings.ema_decay is None else f"exponential moving average, decay {settings.ema_decay:g}"
