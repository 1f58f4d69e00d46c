"""One training step of a generator: predict the noise with the copy's help (Eq. 3), and pull rare categories.

Pure torch, as diffusion/step.py, whose noise and latents it takes. The base and its text encoders stay frozen:
gradients flow through them, and reach the trained copy and the identifiers of the batch's categories only.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple, cast

import torch
from diffusers.schedulers.scheduling_ddpm import DDPMScheduler
from torch import nn

from p2i_ray.config import TrainConfig
from p2i_ray.diffusion.backbones.backbone import PromptStates
from p2i_ray.diffusion.losses import inpainting_loss, min_snr_weights
from p2i_ray.diffusion.model.loading import Parts
from p2i_ray.diffusion.model.prompt import empty_prompts
from p2i_ray.diffusion.step import denoiser_inputs
from p2i_ray.generators.category import CategoryGenerator
from p2i_ray.generators.generator import Control, ControlledDenoiser, Generator
from p2i_ray.generators.identifiers import attach
from p2i_ray.generators.personality import PersonalityGenerator


class GeneratorBatch(NamedTuple):
    """B rows; what is none belongs to a generator that is not there. Fields not explained here are as in step.Batch."""

    image_moments: torch.Tensor
    product_moments: torch.Tensor
    mask: torch.Tensor
    product_mask: torch.Tensor  # (B, 1, H, W), 1 where the product is; of the pictures' size
    base_ids: torch.Tensor  # (B, E, L), what the base reads
    product_ids: torch.Tensor  # (B, E, L), P_fg
    timesteps: torch.Tensor
    noise: torch.Tensor
    image_noise: torch.Tensor
    product_noise: torch.Tensor
    dropped: torch.Tensor  # (B,) bool, rows of which neither base nor copies see a prompt
    background_ids: torch.Tensor | None = None  # (B, E, L), P_bg
    categories: torch.Tensor | None = None  # (B,) int64, places of their identifiers
    image: torch.Tensor | None = None  # (B, 3, H, W), 0 to 1, I; the category-wise generator sees I M
    reference: torch.Tensor | None = None  # (B, 3, H, W), 0 to 1, I', spoilt
    reference_mask: torch.Tensor | None = None  # (B, 1, H, W), 1 where the spoilt picture had its product

    def to(self, device: torch.device | str) -> GeneratorBatch:
        """The batch on a device."""
        values: list[Any] = [None if value is None else value.to(device) for value in self]
        return GeneratorBatch(*values)

    def micro_batches(self, count: int) -> Iterator[GeneratorBatch]:
        """The batch in `count` equal parts, in order."""
        parts = [[None] * count if value is None else value.chunk(count) for value in self]
        for values in zip(*parts, strict=True):
            yield GeneratorBatch(*values)


class GeneratorLosses(NamedTuple):
    """The losses of a step."""

    total: torch.Tensor  # (), to be differentiated
    noise: torch.Tensor  # (B,), of each row, weighted where min-SNR is on
    pull: torch.Tensor  # (B,), of rare categories to their parents' means, before its weight


class Rates(NamedTuple):
    """Learning rates."""

    copy: float = 1e-5
    identifiers: float = 1e-3


class LossSettings(NamedTuple):
    """The settings of the loss, and of learning from it."""

    min_snr_gamma: float | None = None  # as in train.min_snr_gamma
    rare_below: int = 0  # as in generators
    rare_weight: float = 0.0
    rates: Rates = Rates()


class GeneratorModel(nn.Module):
    """A frozen base and its text encoders, and the generators beside it, of which all or some learn."""

    empty_ids: torch.Tensor

    def __init__(
        self,
        parts: Parts,
        generators: dict[str, Generator],
        settings: LossSettings | None = None,
        *,
        trained: tuple[str, ...] | None = None,
    ) -> None:
        """Take the base's parts, which are changed, and the generators by kind.

        Args:
            parts: of the base; see base.load_base.
            generators: at least one.
            settings: of the loss; none: noise alone.
            trained: kinds that learn; none: all.
        """
        super().__init__()
        self.backbone = parts.backbone
        self.settings = settings or LossSettings()
        if isinstance(category := generators.get("category"), CategoryGenerator):
            attach(parts, category.identifiers)
        self.denoiser = ControlledDenoiser(parts.denoiser, generators)
        self.texts = nn.ModuleList(cast(Any, encoder).requires_grad_(False) for encoder in parts.text_encoders)
        for kind, generator in generators.items():
            generator.requires_grad_(trained is None or kind in trained)
            for part in generator.frozen:
                part.requires_grad_(False)
        self.register_buffer("empty_ids", empty_prompts(parts.tokenizers), persistent=False)  # (1, E, L)
        self.schedule = DDPMScheduler.from_config(parts.scheduler.config)
        self.latent_scale = float(parts.vae.config["scaling_factor"])
        self.pixels_per_latent = parts.pixels_per_latent

    def train(self, mode: bool = True) -> GeneratorModel:
        """Put the generators into training mode; what is frozen is never in it."""
        super().train(False)
        self.denoiser.generators.train(mode)
        return self

    def generator(self, kind: str) -> Any:
        """The generator of a kind; none: it is not there."""
        return dict(self.denoiser.generators.items()).get(kind)

    def groups(self, settings: TrainConfig) -> list[dict[str, Any]]:
        """The optimizer's groups: identifiers don't decay, or those of categories that are seldom seen would fade."""
        rates = self.settings.rates
        options: dict[str, dict[str, float]] = {
            "copy": {"lr": rates.copy},
            "identifiers": {"lr": rates.identifiers, "weight_decay": 0.0},
        }
        return [{"name": name, "params": list(p), **options[name]} for name, p in trained_groups(self).items()]

    @property
    def device(self) -> torch.device:
        """The device that it computes on."""
        return self.empty_ids.device

    def forward(self, batch: GeneratorBatch, whole: GeneratorBatch | None = None, share: int = 1) -> GeneratorLosses:
        """`generator_loss` of this model.

        Args:
            batch: a micro-batch.
            whole: all of a worker's rows, and
            share: micro-batches a step, as for Product2Img, whose loss needs them; this one doesn't.
        """
        return generator_loss(self, batch)


def trained_groups(model: GeneratorModel) -> dict[str, list[nn.Parameter]]:
    """The trained parameters by learning rate: "copy", "identifiers"; a group without parameters is left out."""
    category = model.generator("category")
    identifiers = [] if category is None else [p for p in category.identifiers.parameters() if p.requires_grad]
    known = {id(p) for p in identifiers}
    copies = [p for p in model.parameters() if p.requires_grad and id(p) not in known]
    return {name: group for name, group in (("copy", copies), ("identifiers", identifiers)) if group}


def generator_loss(model: GeneratorModel, batch: GeneratorBatch) -> GeneratorLosses:
    """The mean squared error of the predicted noise, and the pull of rare categories."""
    inputs, target, pixels = denoiser_inputs(model, batch)
    inputs = inputs[:, : model.denoiser.config.in_channels]  # a plain base sees the noisy latent alone
    nothing = model.backbone.nothing(model.texts, model.empty_ids)  # type: ignore[arg-type]
    base = encode(model, batch.base_ids, batch.dropped, nothing)
    controls = controls_of(model, batch, nothing)

    def denoiser(*arguments: Any, **named: Any) -> Any:
        return model.denoiser(*arguments, cross_attention_kwargs={"controls": controls}, **named)

    predicted = model.backbone.predict(
        cast(nn.Module, denoiser), inputs.to(base.states.dtype), batch.timesteps, text=base, pixels=pixels
    )
    noise = inpainting_loss(predicted, target)  # (B,)
    if model.settings.min_snr_gamma is not None:
        noise = noise * min_snr_weights(model.schedule, batch.timesteps, model.settings.min_snr_gamma)
    pull = torch.zeros_like(noise)
    category: CategoryGenerator | None = model.generator("category")
    if category is not None and batch.categories is not None and model.settings.rare_below:
        pull = category.identifiers.pull(batch.categories.tolist(), category.categories, model.settings.rare_below)
    return GeneratorLosses(noise.mean() + model.settings.rare_weight * pull.mean(), noise, pull)


def controls_of(model: GeneratorModel, batch: GeneratorBatch, nothing: PromptStates) -> dict[str, Control]:
    """The inputs of each generator of a model for a batch."""
    found: dict[str, Control] = {}
    product = encode(model, batch.product_ids, batch.dropped, nothing).states
    if model.generator("category") is not None:
        assert batch.background_ids is not None and batch.image is not None, "the batch has no categories"
        plain = model.generator("category").plain
        background = None if plain else encode(model, batch.background_ids, batch.dropped, nothing).states
        found["category"] = CategoryGenerator.control(product, background, image=batch.image, mask=batch.product_mask)
    if model.generator("personality") is not None:
        assert batch.reference is not None and batch.reference_mask is not None, "the batch has no references"
        found["personality"] = PersonalityGenerator.control(
            product, reference=batch.reference, reference_mask=batch.reference_mask, mask=batch.product_mask
        )
    return found


def encode(model: GeneratorModel, ids: torch.Tensor, dropped: torch.Tensor, nothing: PromptStates) -> PromptStates:
    """The prompts whose tokens are ids (B, E, L), and no prompt where it is dropped, (B,)."""
    return nothing.where(dropped, model.backbone.encode(list(model.texts), ids))
