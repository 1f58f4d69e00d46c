"""PowerPaint v1: Stable Diffusion inpainting, told by ten learned words what to do.

Its words for a context without a new object, P_ctxt_0 to P_ctxt_9, follow the prompt; those for an object, P_obj_…, are
what guidance steers away from. So backgrounds are painted, by its authors' own way of extending pictures.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from p2i_ray.diffusion.backbones.backbone import PromptStates
from p2i_ray.diffusion.baselines.baseline_sampler import BaselineSampler
from p2i_ray.diffusion.baselines.extras import CONTEXT, OBJECT
from p2i_ray.diffusion.model.loading import Parts
from p2i_ray.diffusion.model.prompt import tokenise_words
from p2i_ray.diffusion.sampling.text_states import TextStates


class PowerPaintSampler(BaselineSampler):
    """The sampler with PowerPaint's prompts."""

    def _texts(self, parts: Parts) -> TextStates:
        return _TaskStates(parts, token=None, template=self._diffusion.prompt, cached_texts=self._options.cached_texts)


class _TaskStates(TextStates):
    """Prompts with the learned words after them."""

    def of_negative(self, text: str) -> PromptStates:
        """The states (1, ...) of a negative prompt and the words for an object."""
        return self._cached(text, is_name=False)

    def _ids(self, texts: Sequence[str], *, is_names: bool) -> torch.Tensor:
        words = CONTEXT if is_names else OBJECT
        template = self._template if is_names else "{name}"
        rows = [tokenise_words(tokenizer, words, texts, template=template) for tokenizer in self._parts.tokenizers]
        return torch.stack([row.ids for row in rows], dim=1)
