"""Finish a picture after the product was pasted: a contact shadow outside, the scene's light inside."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any, NamedTuple

from p2i_ray.compositing import ground, light, outline, shadow
from p2i_ray.compositing.light import Gains
from p2i_ray.compositing.scene_light import light_side
from p2i_ray.config.compositing import CompositingConfig
from p2i_ray.data.images import Pixels

STRONGER = 0.02  # a shadow weaker than this is none


@dataclass(frozen=True)
class Done:
    """A record of the changes to a picture.

    Attributes:
        shadow: strength of the shadow that was drawn, 0 to 1; less than was wanted where the scene had one already.
        no_shadow: why none was drawn though one was wanted; none: one was, or none was wanted.
        light_side: where the scene's light comes from, -1 (left) to 1 (right); 0: from above, or unknown.
        light: which of the product's pixels were changed.
        no_light: why none were though that was wanted; none: they were, or it was not.
        gains: of their red, green and blue, for `light.undo`; none: they were not changed.
        colour_difference: mean CIEDE2000 of those pixels to what they were.
    """

    shadow: float = 0.0
    no_shadow: str | None = None
    light_side: float = 0.0
    light: str = "off"
    no_light: str | None = None
    gains: Gains | None = None
    colour_difference: float = 0.0

    def as_fields(self) -> dict[str, Any]:
        """JSON values by name, rounded; of what was neither wanted nor done there is nothing."""
        found = {name: _rounded(value) for name, value in asdict(self).items() if value not in (None, 0.0, "off")}
        return {"shadow": 0.0, **found} if self.no_shadow else found


class Finished(NamedTuple):
    """A finished picture."""

    pixels: Pixels  # (H, W, 3)
    done: Done


def finish(picture: Pixels, product: Pixels, mask: Pixels, settings: CompositingConfig) -> Finished:
    """A picture with its product's shadow and light, as the settings say; without any, the picture that was given.

    Args:
        picture: (H, W, 3) uint8, the product's own pixels pasted into the painted scene.
        product: (H, W, 3) uint8, the pixels that were pasted; only those in the mask matter.
        mask: (H, W) uint8, 255 where the product is, 0 where it isn't.
        settings: see there.

    Returns:
        The picture, (H, W, 3) uint8. With light=off every pixel whose mask is 255 has the bits that it had; with
        shadow=0 every pixel whose mask is 0 has.

    Raises:
        ValueError: the sizes differ.
    """
    if picture.shape != (*mask.shape, 3) or product.shape != picture.shape:
        raise ValueError(f"picture, product and mask differ in size: {picture.shape}, {product.shape}, {mask.shape}")
    pixels, done = picture, Done()
    if settings.shadow > 0:
        pixels, done = _shadowed(picture, product, mask, settings.shadow)
    if not settings.changes_product:
        return Finished(pixels, done)
    weights = weights_of(mask, settings)
    found = light.gains(
        picture,
        weights,
        outline.ring(mask),
        strength=settings.light_strength,
        most=settings.max_colour_difference,
    )
    if found is None:
        return Finished(pixels, replace(done, no_light="there is no scene beside the product"))
    lit = light.apply(pixels, weights, found)
    apart = light.difference(pixels, lit, weights)
    return Finished(lit, replace(done, light=settings.light, gains=found, colour_difference=apart))


def weights_of(mask: Pixels, settings: CompositingConfig) -> outline.Weights:
    """Change of each pixel's light, (H, W), 0 to 255, with light=rim or whole."""
    return outline.rim(mask, settings.rim_width) if settings.light == "rim" else outline.whole(mask)


def finisher(settings: CompositingConfig) -> Callable[[Pixels, Pixels, Pixels], Finished] | None:
    """`finish` with these settings, for workers; none: they leave every picture as it is."""
    if settings.shadow == 0 and not settings.changes_product:
        return None
    return partial(finish, settings=settings)


def _shadowed(picture: Pixels, product: Pixels, mask: Pixels, strength: float) -> tuple[Pixels, Done]:
    found = ground.contact(mask)
    if found is None:
        return picture, Done(no_shadow="there is no product")
    missing = ground.missing_ground(picture, mask, found)
    if missing is not None:
        return picture, Done(no_shadow=missing)
    side = light_side(picture, mask)
    shade = shadow.occlusion(mask, found, side)
    left = shadow.missing_share(picture, mask, shade, strength)
    if left < STRONGER:
        return picture, Done(no_shadow="the scene is dark enough under the product")
    return shadow.darken(picture, product, mask, 1 - left * shade), Done(shadow=left, light_side=side)


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return round(value, 4)
    return [round(one, 6) for one in value] if isinstance(value, tuple) else value
