"""The sampler with generators beside the base: paints by category, by a reference, or by both."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from p2i_ray.config import DiffusionConfig
from p2i_ray.config.generators import GeneratorsConfig
from p2i_ray.data.images import Pixels
from p2i_ray.diffusion.backbones.backbone import PromptStates, joined
from p2i_ray.diffusion.model import loading
from p2i_ray.diffusion.model.preprocess import paint_mask, to_tensor
from p2i_ray.diffusion.sampling.denoise import build_pipeline
from p2i_ray.diffusion.sampling.request import PaintRequest
from p2i_ray.diffusion.sampling.sampler import DTYPES, Observe, Sampler, SamplerOptions
from p2i_ray.errors import UserError
from p2i_ray.generators import folder
from p2i_ray.generators.base import check_base, loadable, narrow
from p2i_ray.generators.category import CategoryGenerator
from p2i_ray.generators.generator import Control, ControlledDenoiser
from p2i_ray.generators.identifiers import attach
from p2i_ray.generators.personality import PersonalityGenerator
from p2i_ray.generators.prompts import GeneratorPrompts
from p2i_ray.generators.request import GeneratorRequest, Reference, fitted

GREY = 127  # around the product, where a plain base would see what the request happens to have there


class GeneratorSampler(Sampler):
    """A sampler whose denoiser has copies beside it.

    With guidance, the copies see the product and the reference beside the negative prompt too, as ControlNet does: what
    guidance makes stronger is the text, with the category's identifier in it.
    """

    def __init__(
        self,
        location: str,
        diffusion: DiffusionConfig,
        options: SamplerOptions,
        *,
        settings: GeneratorsConfig,
        optional: bool = False,
    ) -> None:
        """Load base and generators; they are not read again.

        Args:
            location: of the base's model folder.
            diffusion: as for `Sampler`.
            options: of the computation.
            settings: the generators' folders, and how they are used.
            optional: whether a request may have no reference, which is then painted without the personality-wise
                generator.

        Raises:
            UserError: base or generators can't be used, or don't fit each other.
        """
        check_base(location, diffusion, settings)
        self._location, self._settings, self._optional = location, settings, optional
        self._states_kept: OrderedDict[bytes, PromptStates] = OrderedDict()  # by tokens, where batches are mixed
        super().__init__(location, loadable(diffusion, settings), options)

    def _build(self, parts: loading.Parts) -> Any:
        if self._settings.base == "text_to_image":
            narrow(parts)
        dtype = DTYPES[self._options.dtype]
        generators = folder.load_generators(self._location, parts, self._settings, dtype)
        category, personality = generators.get("category"), generators.get("personality")
        self._category = category if isinstance(category, CategoryGenerator) else None
        self._personality = personality if isinstance(personality, PersonalityGenerator) else None
        if self._category is not None:
            attach(parts, self._category.identifiers)
            tokens = self._category.identifiers.tokens
            self._category_prompts = GeneratorPrompts(parts, self._category.templates, tokens)
        if self._personality is not None:
            self._personality_prompts = GeneratorPrompts(parts, self._personality.templates)
        if self._options.copy_weights:
            for generator in generators.values():
                for weight in generator.parameters():
                    weight.data = weight.data.clone()
        denoiser = ControlledDenoiser(parts.denoiser, generators).eval()
        return build_pipeline(parts.backbone, parts.vae, denoiser, parts.scheduler)

    def _denoisers(self, parts: loading.Parts) -> list[nn.Module]:
        made = [generator.copy for generator in (self._category, self._personality) if generator is not None]
        return [parts.denoiser, *made]

    def paint(
        self,
        requests: Sequence[PaintRequest],
        observe: Observe | None = None,
        wanted: Callable[[], bool] | None = None,
    ) -> list[Pixels]:
        """As `Sampler.paint`.

        Args:
            requests: a plain PaintRequest has neither category nor reference; all of them have a reference, or none.
            observe: see there.
            wanted: see there.

        Raises:
            UserError: a request has not what a generator needs, said before anything is painted; see `fitted` and
                `Categories.find`.
        """
        ready = [self._checked(request) for request in requests]
        return super().paint(ready, observe, wanted)

    def try_out(self, resolution: int) -> None:
        """Paint a grey square in two steps, by the first category and a reference of noise."""
        mask = np.zeros((resolution, resolution), np.uint8)
        mask[resolution // 4 : -resolution // 4, resolution // 4 : -resolution // 4] = 255
        product = np.full((*mask.shape, 3), 127, np.uint8)
        noise = np.random.default_rng(0).integers(0, 256, product.shape, np.uint8)
        self.paint(
            [
                GeneratorRequest(
                    "product",
                    product,
                    mask,
                    seed=0,
                    steps=2,
                    guidance=2,
                    category=None if self._category is None else self._category.categories.all[0].name,
                    references=() if self._personality is None else (Reference(noise),),
                )
            ]
        )

    def _checked(self, request: PaintRequest) -> GeneratorRequest:
        """The request with all that the generators need, its reference in the right size."""
        if isinstance(request, GeneratorRequest):
            values = dict(request.__dict__)
        else:
            values = {**request.__dict__, "category": None, "references": ()}
        if self._settings.base == "text_to_image":
            values["product"] = np.where(request.mask[..., None] >= 128, request.product, np.uint8(GREY))
        if self._category is not None:
            self._category.categories.find(values["category"] or "", unknown=self._settings.unknown_category)
        if self._personality is not None and (values["references"] or not self._optional):
            values["references"] = (fitted(values["references"], request.mask.shape),)
        elif values["references"]:
            raise UserError("the request has a reference picture, which only generators.personality can use; set it")
        return GeneratorRequest(**values)

    def _encode(self, requests: Sequence[PaintRequest]) -> tuple[PromptStates, PromptStates | None]:
        """The base's prompt: the generators', or its own."""
        prompts, negatives = super()._encode(requests)
        if self._settings.base_prompt == "product2img" or not (self._category or _references(requests)):
            return prompts, negatives
        if self._category is None:
            return self._states(self._personality_prompts.product(_names(requests))), negatives
        prompts_of, names = self._category_prompts, _names(requests)
        if self._category.plain:
            return self._states(prompts_of.product(names)), negatives
        return self._states(prompts_of.whole(names, self._places(requests))), negatives

    def _more(self, requests: Sequence[PaintRequest]) -> dict[str, Any]:
        guided = requests[0].guidance > 1
        negative = torch.cat([self._text.of_negative(request.negative).states for request in requests])
        mask = 1 - paint_mask(np.stack([request.mask for request in requests]))
        found: dict[str, Control] = {}
        if self._category is not None:
            image = to_tensor(np.stack([request.product for request in requests]))
            prompts = self._category_prompts
            product = self._states(prompts.product(_names(requests))).states
            plain = self._category.plain
            background = None if plain else self._states(prompts.background(self._places(requests))).states
            own = CategoryGenerator.control(product, background, image=image, mask=mask)
            found["category"] = own.ready(
                torch.cat([negative] * self._category.texts, dim=1) if guided else None, self.denoiser.dtype
            )
        if references := _references(requests):
            hidden = 1 - paint_mask(np.stack([_mask_of(reference) for reference in references]))
            own = PersonalityGenerator.control(
                self._states(self._personality_prompts.product(_names(requests))).states,
                reference=to_tensor(np.stack([reference.picture for reference in references])),
                reference_mask=hidden,
                mask=mask,
            )
            found["personality"] = own.ready(negative if guided else None, self.denoiser.dtype)
        return {"cross_attention_kwargs": {"controls": found}}

    def _places(self, requests: Sequence[PaintRequest]) -> list[int]:
        assert self._category is not None
        find, unknown = self._category.categories.find, self._settings.unknown_category
        return [find(getattr(request, "category", None) or "", unknown=unknown) for request in requests]

    def _states(self, ids: torch.Tensor) -> PromptStates:
        """The states of B prompts' tokens (B, E, L); where batches are mixed each is computed alone, and kept."""
        if not self._options.mixed:
            return self._encoded(ids)
        found = []
        for row in ids[:, None]:
            key = row.numpy().tobytes()
            if key not in self._states_kept:
                self._states_kept[key] = self._encoded(row)
            self._states_kept.move_to_end(key)
            found.append(self._states_kept[key])
            while len(self._states_kept) > self._options.cached_texts:
                self._states_kept.popitem(last=False)
        return joined(found)

    def _encoded(self, ids: torch.Tensor) -> PromptStates:
        encoders = self._text.encoders
        return self._backbone.encode(encoders, ids.to(encoders[0].device)).seen()


def _names(requests: Sequence[PaintRequest]) -> list[str]:
    """The name for P_fg: the category, or, where a request has none, the product."""
    return [getattr(request, "category", None) or request.name for request in requests]


def _references(requests: Sequence[PaintRequest]) -> list[Reference]:
    """Those of a batch; none: the batch has none."""
    return [one for request in requests for one in getattr(request, "references", ())]


def _mask_of(reference: Reference) -> Pixels:
    assert reference.mask is not None, "the reference isn't fitted"
    return reference.mask
