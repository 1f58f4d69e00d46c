"""Presets of marketplaces, for pictures with a painted scene.

Those are secondary pictures: main pictures have rules of their own (most want pure white, and Amazon 85 % of the
frame), which no painted scene meets. Where a place has no rule for scenes, share and margin are our choice: large
enough to be recognised in a small preview, with room for the scene. Read on 29 November 2026; rules change, and some
differ by category: the place's own pages decide.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import Literal

from p2i_ray.config.shapes import Size
from p2i_ray.serve.edge.errors import bad_request

Format = Literal["png", "jpeg", "webp"]
MB = 1_000_000


@dataclass(frozen=True)
class Marketplace:
    """A marketplace's requirements.

    Attributes:
        size: of the file, pixels.
        share: see `Placement.share`.
        margin: see `Placement.margin`.
        formats: that it takes, of those that are made here; the first is the default.
        max_bytes: largest file.
    """

    size: Size
    share: float
    margin: float
    formats: tuple[Format, ...]
    max_bytes: int


ALL: tuple[Format, ...] = ("jpeg", "png", "webp")
MARKETPLACES: dict[str, Marketplace] = {
    # sellercentral.amazon.com/help/external/G9FUUH87RBNXGKB7: JPEG (preferred), PNG, TIFF, GIF; 1,000 pixels, for the
    # zoom, to 10,000 on the longest side. 10 MB and 2,000 pixels: guides for sellers of 2026.
    "amazon": Marketplace(Size(2000, 2000), share=0.7, margin=0.05, formats=("jpeg", "png"), max_bytes=10 * MB),
    # ebay.com/help/policies/listing-policies/picture-policy: from 500 pixels on the longest side, no borders, no added
    # text. 1,600 pixels and 12 MB: guides for sellers of 2026.
    "ebay": Marketplace(Size(1600, 1600), share=0.7, margin=0.05, formats=ALL, max_bytes=12 * MB),
    # 2,000 pixels on the shortest side, 10 MB, previews cut to 4:3, 5:4 and squares (hence the margin): guides for
    # sellers of 2023 to 2026.
    "etsy": Marketplace(Size(2700, 2025), share=0.6, margin=0.1, formats=("jpeg", "png"), max_bytes=10 * MB),
    # support.google.com/merchants/answer/6324350 and 6324370: formats, additional images may show staging, no picture
    # that was scaled up (so a model of 1,024 pixels is wanted), IPTC's mark of generated pictures stays in the file.
    # 75 to 90 % of the picture, 500 pixels, 64 megapixels, 16 MB: guides for sellers of 2026.
    "google": Marketplace(Size(1024, 1024), share=0.8, margin=0.05, formats=ALL, max_bytes=16 * MB),
    # JPEG, 8 MB, from 4:5, the tallest in a feed, to 1.91:1, 320 to 1,440 pixels wide: guides of 2026 to its API.
    "instagram": Marketplace(Size(1080, 1350), share=0.6, margin=0.08, formats=("jpeg",), max_bytes=8 * MB),
    # docs.ozon.com/global/en/products/upload/adding-content/images: 3:4 is shown whole. JPEG and PNG: guides for
    # sellers; 5 MB is the lowest figure in those of 2026.
    "ozon": Marketplace(Size(1200, 1600), share=0.7, margin=0.05, formats=("jpeg", "png"), max_bytes=5 * MB),
    # 2:3, 1,000 x 1,500 pixels, 20 MB: Pinterest's product specifications, by guides of 2026.
    "pinterest": Marketplace(Size(1000, 1500), share=0.6, margin=0.08, formats=ALL, max_bytes=20 * MB),
    # At most 5,000 pixels a side, 20 MB, 2,048 x 2,048 for squares: guides of 2026 to its product media.
    "shopify": Marketplace(Size(2048, 2048), share=0.7, margin=0.05, formats=ALL, max_bytes=20 * MB),
    # marketplacelearn.walmart.com, image guidelines (15 July 2025): 2,200 x 2,200, JPEG, PNG or BMP, 5 MB, RGB.
    "walmart": Marketplace(Size(2200, 2200), share=0.7, margin=0.05, formats=("jpeg", "png"), max_bytes=5 * MB),
    # 3:4, from 900 x 1,200 pixels, at most 8,000 a side, JPEG or PNG; the product takes most of the picture: guides
    # for sellers of 2025 and 2026. 10 MB is a guess on the safe side.
    "wildberries": Marketplace(Size(1200, 1600), share=0.75, margin=0.05, formats=("jpeg", "png"), max_bytes=10 * MB),
}


def find(name: str) -> Marketplace:
    """The preset of a name.

    Raises:
        APIError: there is none.
    """
    if name in MARKETPLACES:
        return MARKETPLACES[name]
    near = difflib.get_close_matches(name.lower(), MARKETPLACES, 1)
    known = f"the nearest name is {near[0]}" if near else f"use one of {', '.join(MARKETPLACES)}"
    raise bad_request(f"marketplace is none that has a preset here; {known}", "marketplace")
