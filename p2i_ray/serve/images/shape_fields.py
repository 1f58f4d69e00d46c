"""The fields of a request that say how large its pictures are, and where the product is in them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

from pydantic import BaseModel

from p2i_ray.config.shapes import Size
from p2i_ray.serve.edge.errors import bad_request
from p2i_ray.serve.edge.forms import short
from p2i_ray.serve.images import marketplaces, placement, sizes
from p2i_ray.serve.images.framing import Shape, cropped, one_frame
from p2i_ray.serve.images.marketplaces import Marketplace
from p2i_ray.serve.images.placement import Placement
from p2i_ray.serve.images.sizes import SizeLimits

AUTO = "auto"
MAX_CROPS = 6
PLACED = ("product_share", "product_x", "product_y", "margin")  # any of them means placement=product


class ShapeFields(BaseModel):
    """Fields of an images edit; OpenAI's `size`, then ours."""

    size: str = AUTO
    output_size: str | None = None
    crops: str | tuple[str, ...] | None = None  # a form's text: separated by commas
    placement: Literal["photo", "product"] | None = None
    product_share: float | None = None
    product_x: float | None = None
    product_y: float | None = None
    margin: float | None = None
    marketplace: str | None = None

    @property
    def files(self) -> int:
        """Files of a scene: one, or one for each crop."""
        return len(_crop_texts(self.crops)) or 1

    @property
    def preset(self) -> Marketplace | None:
        """The requirements of the place that is named.

        Raises:
            APIError: it has no preset.
        """
        return None if self.marketplace is None else marketplaces.find(self.marketplace)


@dataclass(frozen=True)
class AutoShape:
    """size=auto: the shape is known when the picture is."""

    limits: SizeLimits
    placement: Placement

    def of(self, sent: Size) -> Shape:
        """The shape for a picture of a size."""
        return one_frame(sizes.for_picture(sent, self.limits), self.placement)


def resolve_shape(request: ShapeFields, limits: SizeLimits, *, n: int, max_n: int) -> Shape | AutoShape:
    """Check the fields and fill in what a marketplace's preset says.

    Args:
        request: the fields.
        limits: of what is painted.
        n: scenes of the answer.
        max_n: most pictures of an answer.

    Raises:
        APIError: something is beyond a limit, or two fields contradict each other.
    """
    where = _placement(request)
    if request.crops is not None:
        return cropped(_crops(request, n, max_n), limits, where)
    preset = request.preset
    wanted = request.output_size or (str(preset.size) if preset else None)
    if wanted is None:
        if request.size == AUTO:
            return AutoShape(limits, where)
        return one_frame(sizes.painted_size(request.size, limits), where)
    output = sizes.output_size(wanted, n)
    if request.size == AUTO:
        return one_frame(sizes.for_ratio(Fraction(*output), limits, "output_size"), where, output)
    canvas = sizes.painted_size(request.size, limits)
    ratio = sizes.ratio_of(request.size)
    if not sizes.same_shape(output, ratio or Fraction(*canvas)):
        whose = "" if request.output_size else f" (of marketplace={request.marketplace})"
        raise bad_request(
            f"size={request.size} has another shape than output_size={output}{whose}; leave size out, or give an "
            "output_size of its shape",
            "size",
        )
    if ratio is not None:
        canvas = sizes.for_ratio(Fraction(*output), limits, "output_size")
    return one_frame(canvas, where, output)


def _placement(request: ShapeFields) -> Placement:
    given = [name for name in PLACED if getattr(request, name) is not None]
    if request.placement == "photo":
        if given:
            raise bad_request(
                f"placement=photo fits the whole picture, {given[0]} places the product; leave one of them out",
                given[0],
            )
        return Placement()
    if request.placement is None and not given and request.marketplace is None:
        return Placement()
    preset = request.preset
    share = _within("product_share", request, placement.MIN_SHARE, placement.MAX_SHARE)
    margin = _within("margin", request, 0, placement.MAX_MARGIN)
    x, y = (_within(name, request, 0, 1) for name in ("product_x", "product_y"))
    found = Placement(
        product=True,
        share=share if share is not None else preset.share if preset else placement.SHARE,
        x=0.5 if x is None else x,
        y=0.5 if y is None else y,
        margin=margin if margin is not None else preset.margin if preset else 0.0,
    )
    if found.share + 2 * found.margin > 1 + 1e-9:
        raise bad_request(
            f"product_share={found.share:g} leaves no margin={found.margin:g} on both sides; lower one of them: "
            f"product_share to {placement.down(1 - 2 * found.margin)}, or margin to "
            f"{placement.down((1 - found.share) / 2)}",
            "product_share" if share is not None or margin is None else "margin",
        )
    return found


def _within(name: str, request: ShapeFields, low: float, high: float) -> float | None:
    value: float | None = getattr(request, name)
    if value is not None and not low <= value <= high:  # also refuses NaN
        raise bad_request(f"{name} must be from {low:g} to {high:g}", name)
    return value


def _crop_texts(crops: str | Sequence[str] | None) -> list[str]:
    texts = crops.split(",") if isinstance(crops, str) else crops or ()
    return [text.strip() for text in texts]


def _crops(request: ShapeFields, n: int, max_n: int) -> dict[str, Fraction]:
    """The ratios of the crops by their texts."""
    for name, value in (("size", request.size), ("output_size", request.output_size)):
        if value not in (None, AUTO):
            raise bad_request(f"crops have sizes of their own, by their ratios; leave {name} out", name)
    if request.marketplace is not None:
        raise bad_request("crops and marketplace both say what the files are; leave one of them out", "marketplace")
    crops: dict[str, Fraction] = {}
    for text in _crop_texts(request.crops):
        ratio = sizes.ratio_of(text)
        if ratio is None:
            raise bad_request(
                f"crops: {short(text)} is no ratio from 1:{sizes.WIDEST} to {sizes.WIDEST}:1; give some such as "
                "1:1,4:5,16:9",
                "crops",
            )
        if ratio in crops.values():
            raise bad_request(f"crops: {text} is there twice; give each ratio once", "crops")
        crops[text] = ratio
    if len(crops) > MAX_CROPS:
        raise bad_request(f"crops has {len(crops)} ratios; at most {MAX_CROPS}", "crops")
    if n * len(crops) > max_n:
        raise bad_request(
            f"n={n} scenes in {len(crops)} crops are {n * len(crops)} pictures; an answer has at most {max_n}; lower "
            "n, or leave crops out",
            "crops",
        )
    return crops
