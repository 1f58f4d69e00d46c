"""Limits of a picture's area, the same for the engine and for the processor that counts its tokens beforehand.

Qwen-VL's processors scale pictures down to one area, and small ones up to another; the engine reserves memory and
tokens for the largest picture that its processor takes. LLaVA's processors have no such limits.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

from p2i_ray.config import JudgeConfig
from p2i_ray.errors import UserError

PATCHES = 32  # pixels along a side of the largest patch, merged
KNOWN = "Qwen2VLImageProcessor"  # of Qwen2-VL, Qwen2.5-VL, Qwen3-VL; also its variants


class Limits(NamedTuple):
    """Areas in pixels: smaller pictures are scaled up, larger ones down."""

    smallest: int
    largest: int

    def as_size(self) -> dict[str, int]:
        """As transformers' image processors name them."""
        return {"shortest_edge": self.smallest, "longest_edge": self.largest}


def size_limits(settings: JudgeConfig, side: int | None = None) -> dict[str, Any] | None:
    """The engine's mm_processor_kwargs, which are the processor's images_kwargs, too; none: the model's own suit.

    Args:
        settings: the judge's; the model is a folder or an id on the hub.
        side: longest side of the pictures that it will see, pixels (none: not known). They are seen as they would be
            without this.

    Raises:
        UserError: the model's processor can't follow judge.min_pixels or judge.max_pixels.
    """
    own = declared(settings.model)
    if own is None:
        return _given(settings)
    wanted = Limits(settings.min_pixels or own.smallest, settings.max_pixels or own.largest)
    if wanted.smallest > wanted.largest:
        name, value, other = (
            ("max_pixels", wanted.largest, f"judge.min_pixels={wanted.largest}")
            if settings.max_pixels
            else ("min_pixels", wanted.smallest, f"judge.max_pixels={wanted.smallest}")
        )
        raise UserError(
            f"judge.{name}={value}: the processor of judge.model={settings.model} takes {own.smallest} to "
            f"{own.largest} pixels a picture; give {other}, too"
        )
    if side:
        # Sides are rounded to whole patches; a small picture is enlarged, a narrow one to at most four times the least.
        needed = max((side + PATCHES) ** 2, 4 * wanted.smallest)
        wanted = wanted._replace(largest=min(wanted.largest, needed))
    return None if wanted == own else {"size": wanted.as_size()}


def declared(model: str) -> Limits | None:
    """The limits that a model's folder declares; none: its processor knows none, or it is an id on the hub."""
    config = _image_processor(Path(model))
    size = config.get("size") or {}
    smallest = config.get("min_pixels") or size.get("shortest_edge")
    largest = config.get("max_pixels") or size.get("longest_edge")
    if not str(config.get("image_processor_type")).startswith(KNOWN) or not (smallest and largest):
        return None
    return Limits(smallest, largest)


def patch_side(model: str) -> int | None:
    """Pixels along a side of a token's part of a picture, where a folder says so."""
    config = _image_processor(Path(model))
    patch, merged = config.get("patch_size"), config.get("merge_size")
    return patch * merged if isinstance(patch, int) and isinstance(merged, int) else None


def _given(settings: JudgeConfig) -> dict[str, Any] | None:
    """The limits in the settings, for a model whose own are not known."""
    given = {name: value for name in ("min_pixels", "max_pixels") if (value := getattr(settings, name))}
    if not given:
        return None
    first = ", ".join(f"judge.{name}={value}" for name, value in given.items())
    if Path(settings.model).is_dir():
        kind = _image_processor(Path(settings.model)).get("image_processor_type") or "none"
        raise UserError(
            f"{first}: the picture processor of judge.model={settings.model} ({kind}) knows no limits of pixels; leave "
            "it out"
        )
    if settings.min_pixels is None or settings.max_pixels is None:
        raise UserError(
            f"{first}: the limits of {settings.model} can't be read before it is there; give both judge.min_pixels and "
            "judge.max_pixels, or a folder as judge.model"
        )
    return {"size": Limits(settings.min_pixels, settings.max_pixels).as_size()}


def _image_processor(folder: Path) -> dict[str, Any]:
    """The settings of a model's image processor; empty where there are none, as for an id on the hub."""
    for name, key in (("processor_config.json", "image_processor"), ("preprocessor_config.json", None)):
        if (folder / name).is_file():
            found = json.loads((folder / name).read_text("utf-8"))
            if isinstance(config := found.get(key) if key else found, dict):
                return config
    return {}
