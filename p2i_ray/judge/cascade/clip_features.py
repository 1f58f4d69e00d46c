"""Features of pictures and names from a frozen CLIP with Ray Data: the input of the cascade's head.

A row's features are the projections of picture and name, the product of the two at unit length, and statistics over the
vision tower's patch tokens at four depths, since the pooled projection hardly contains clutter, text and blur.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from p2i_ray.cluster import resources
from p2i_ray.config import CascadeConfig, ImageConfig
from p2i_ray.encoders import weight_files
from p2i_ray.errors import UserError
from p2i_ray.storage import folders, locations

if TYPE_CHECKING:
    import ray.data
    from PIL.Image import Image

FEATURES = pa.schema(
    [
        ("id", pa.string()),
        ("features", pa.list_(pa.float32())),  # (D,); null: see error
        ("error", pa.string()),  # reason why the row has no features
    ]
)
DEPTHS = (0, 1 / 3, 2 / 3, 1)  # of the vision tower; lower layers encode blur, upper ones objects


def check(clip: str) -> str:
    """Check that a CLIP can be read from a folder; returns its absolute location.

    Raises:
        UserError: it isn't there, or isn't a transformers CLIP with safetensors weights, tokenizer and preprocessing.
    """
    location = locations.absolute(clip)
    config = locations.join(location, "config.json")
    if not locations.exists(config):
        raise UserError(f"judge.cascade.clip={clip} has no config.json; give a transformers CLIP folder")
    try:
        model_type = json.loads(locations.read_text(config)).get("model_type")
    except (ValueError, AttributeError):
        raise UserError(f"judge.cascade.clip={clip}: config.json is no JSON object; is the folder complete?") from None
    if model_type != "clip":
        raise UserError(f"judge.cascade.clip={clip} holds a model of type {model_type!r}; give a CLIP")
    names = {found.rpartition("/")[2] for found in folders.files(location)}
    weight_files.find(location, weight_files.TRANSFORMERS, setting="judge.cascade.clip").tensors()
    if not names & {"processor_config.json", "preprocessor_config.json"}:
        raise UserError(f"judge.cascade.clip={clip} has no preprocessor_config.json; is the folder complete?")
    if not names & {"tokenizer.json", "vocab.json"}:
        raise UserError(f"judge.cascade.clip={clip} has no tokenizer.json; is the folder complete?")
    return location


def encode(
    rows: ray.data.Dataset, settings: CascadeConfig, limits: ImageConfig, max_name_chars: int
) -> ray.data.Dataset:
    """The features of rows, lazily: the columns of FEATURES.

    A row that can't be judged because of its picture or its name has an error instead.

    Args:
        rows: columns id, name and image (a struct with bytes).
        settings: the CLIP, checked, and the resources of its actors.
        limits: limits of pictures, as the judge has them.
        max_name_chars: names are cut after this many characters.
    """
    import ray.data

    return rows.map_batches(
        _Encoder,
        fn_constructor_args=(settings, limits, max_name_chars),
        compute=ray.data.ActorPoolStrategy(size=settings.num_workers),
        batch_size=settings.batch_size,
        batch_format="pyarrow",
        **resources.cascade(settings).bundle.actor_options(),
    )


def as_array(features: pa.ChunkedArray) -> NDArray[np.float32]:
    """A column of features without nulls as (M, D)."""
    flat: NDArray[np.float32] = features.combine_chunks().flatten().to_numpy(zero_copy_only=False)
    return flat.reshape(len(features), -1)


class Clip:
    """A CLIP on one device, float32.

    Args:
        folder: location that `check` returned.
        device: a torch device.
        batch_size: pictures per batch; a smaller batch is padded.
    """

    def __init__(self, folder: str, device: str = "cpu", batch_size: int = 64) -> None:
        from p2i_ray.encoders.clip import clip_folder

        with clip_folder(folder, setting="judge.cascade.clip") as opened:
            model: Any = opened.model()
            self._processor = opened.image_processor()
            self._tokenizer = opened.tokenizer()
        self._model = model.to(device)
        self._device, self._batch_size = device, batch_size
        layers = model.config.vision_config.num_hidden_layers
        self._layers = sorted({round(layers * depth) for depth in DEPTHS})

    def features(self, pictures: Sequence[Image], names: Sequence[str]) -> NDArray[np.float32]:
        """Features (B, D) of B <= batch_size RGB pictures and their names."""
        import torch

        # Rounding depends on the batch's shape: with padding, a row's features don't depend on its neighbours.
        padding = self._batch_size - len(pictures)
        pixels = self._processor(images=[*pictures, *[pictures[-1]] * padding], return_tensors="pt")
        tokens = self._tokenizer(
            [*names, *[names[-1]] * padding],
            padding="max_length",
            truncation=True,
            max_length=self._model.config.text_config.max_position_embeddings,
            return_tensors="pt",
        )
        with torch.inference_mode():
            vision = self._model.vision_model(pixels["pixel_values"].to(self._device), output_hidden_states=True)
            language = self._model.text_model(
                tokens["input_ids"].to(self._device), tokens["attention_mask"].to(self._device)
            )
            image = self._model.visual_projection(vision.pooler_output)  # (B, d)
            text = self._model.text_projection(language.pooler_output)  # (B, d)
            unit = torch.nn.functional.normalize
            parts = [image, text, unit(image) * unit(text)]
            for layer in self._layers:
                patches = vision.hidden_states[layer][:, 1:]  # (B, patches, width), without the class token
                parts += [patches.mean(1), patches.amax(1), patches.amin(1), patches.std(1, correction=0)]
        return torch.cat(parts, dim=1)[: len(pictures)].cpu().numpy()


class _Encoder:
    """An actor that loads CLIP once."""

    def __init__(self, settings: CascadeConfig, limits: ImageConfig, max_name_chars: int) -> None:
        assert settings.clip
        self._clip = Clip(settings.clip, "cuda" if settings.num_gpus else "cpu", settings.batch_size)
        self._limits = limits
        self._max_name_chars = max_name_chars

    def __call__(self, batch: pa.Table) -> pa.Table:
        opened = [self._open(row) for row in batch.select(["name", "image"]).to_pylist()]
        good = [i for i, found in enumerate(opened) if not isinstance(found, str)]
        features: list[Any] = [None] * len(opened)
        errors = [found if isinstance(found, str) else None for found in opened]
        if good:
            pictures, names = zip(*(opened[i] for i in good), strict=True)
            for i, values in zip(good, self._clip.features(pictures, names), strict=True):
                if np.isfinite(values).all():
                    features[i] = values
                else:
                    errors[i] = "CLIP's features are not finite"
        return pa.table({"id": batch["id"], "features": features, "error": errors}, schema=FEATURES)

    def _open(self, row: dict[str, Any]) -> tuple[Image, str] | str:
        """The picture and the name as the judge would see them, or the reason why the row can't be judged."""
        from p2i_ray.data import images
        from p2i_ray.judge.requests.preprocess import fit
        from p2i_ray.judge.requests.tasks import clean_name

        name = clean_name(row["name"], self._max_name_chars)
        if not name:
            return "the product has no name"
        try:
            picture = fit(images.encoded(row["image"]), self._limits)
            return images.decode(picture, self._limits).convert("RGB"), name
        except images.ImageError as error:
            return str(error)
