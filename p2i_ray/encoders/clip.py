"""Load a CLIP as transformers saves it: from a folder or URI, safetensors only, no network, float32."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar, cast

import torch
from safetensors import SafetensorError, safe_open
from transformers import CLIPModel, CLIPTokenizer
from transformers.image_processing_base import ImageProcessingMixin
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

from p2i_ray.encoders import tokenizer_files, weight_files
from p2i_ray.errors import UserError, one_line
from p2i_ray.storage import folders

Loaded = TypeVar("Loaded")


@dataclass(frozen=True)
class ClipFolder:
    """A CLIP folder on this machine; its parts are read when they are asked for.

    Attributes:
        local: path of the folder.
        location: the same as the user gave it.
        setting: name of the setting that has it, for messages.
    """

    local: str
    location: str
    setting: str

    def model(self) -> CLIPModel:
        """The model on the CPU, float32, in evaluation mode and frozen.

        Raises:
            UserError: it can't be loaded.
        """
        variant = weight_files.find(self.local, weight_files.TRANSFORMERS, setting=self.setting).variant
        options = {"use_safetensors": True, "variant": variant, "dtype": torch.float32, "output_loading_info": True}
        load: Callable[..., Any] = CLIPModel.from_pretrained  # whose types leave out what it tells of the loading
        model, told = self._load(load, **options)
        if absent := sorted(told["missing_keys"]):
            raise UserError(f"{self.setting}={self.location}: the weights have no {absent[0]}; fetch the model again")
        return cast(CLIPModel, model.eval().requires_grad_(False))

    def tensor(self, name: str) -> torch.Tensor:
        """One of the model's tensors, float32, without loading the others.

        Raises:
            UserError: it isn't there, or can't be read.
        """
        for file in weight_files.find(self.local, weight_files.TRANSFORMERS, setting=self.setting).files:
            try:
                with safe_open(file, "pt") as opened:
                    if name in opened.keys():  # noqa: SIM118  # it is no mapping
                        return cast(torch.Tensor, opened.get_tensor(name).float())
            except (OSError, SafetensorError) as error:
                raise UserError(f"{self.setting}={self.location}: {one_line(error)}") from error
        raise UserError(f"{self.setting}={self.location}: the weights have no {name}; fetch the model again")

    def image_processor(self) -> CLIPImageProcessorPil:
        """Its preprocessing of images, by Pillow.

        Raises:
            UserError: it can't be loaded.
        """
        return self._load(CLIPImageProcessorPil.from_pretrained)

    def image_processor_settings(self) -> dict[str, Any]:
        """The settings of its preprocessing of images, as they stand in the folder's file.

        Raises:
            UserError: they can't be read.
        """
        settings, _ = self._load(ImageProcessingMixin.get_image_processor_dict)
        return dict(settings)

    def tokenizer(self) -> CLIPTokenizer:
        """Its tokenizer.

        Raises:
            UserError: it isn't there, or can't be loaded.
        """
        tokenizer_files.check(self.local)
        return cast(CLIPTokenizer, self._load(CLIPTokenizer.from_pretrained))

    def _load(self, loader: Callable[..., Loaded], **options: Any) -> Loaded:
        try:
            return loader(self.local, local_files_only=True, **options)
        except (OSError, ValueError, KeyError, RuntimeError, ImportError, SafetensorError) as error:
            first_line = next(iter(str(error).strip().splitlines()), type(error).__name__)
            raise UserError(f"{self.setting}={self.location}: {first_line}") from error


@contextmanager
def clip_folder(location: str, *, setting: str) -> Iterator[ClipFolder]:
    """A CLIP folder, copied to this machine while the block runs if it is in a bucket.

    Args:
        location: a path or URI.
        setting: name of the setting that has it, as in diffusion.clip.

    Raises:
        UserError: it is not there.
    """
    with folders.local_folder(location) as local:
        yield ClipFolder(local, location, setting)
