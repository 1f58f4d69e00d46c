"""Names of the columns in lists of products: our own, and those of widespread shop systems."""

from __future__ import annotations

import re
from collections.abc import Sequence

# In order of preference. Compared without case, spaces and signs: "Product Category", "product_category".
ALIASES: dict[str, tuple[str, ...]] = {
    "file": (
        "file",
        "file_name",
        "filename",
        "file_path",
        "image_file",
        "image_path",
        "path",
        "Image Src",  # Shopify
        "Images",  # WooCommerce
        "base_image",  # Magento
        "Product Image File - 1",  # BigCommerce
        "Image URLs (x,y,z...)",  # PrestaShop
        "main_image_url",  # Amazon
        "Item photo URL",  # eBay
        "image_link",  # Google Merchant
        "image",
        "photo",
        "picture",
        "img",
        "image_url",
        "url",
        "Bilddatei",
        "Bild",
        "Foto",
        "Datei",
    ),
    "name": (
        "name",
        "Title",  # Shopify, Google Merchant, eBay
        "product_name",
        "item_name",  # Amazon
        "Name *",  # PrestaShop
        "product",
        "text",  # image captions of Hugging Face data sets
        "caption",
        "Artikelname",
        "Produktname",
        "Bezeichnung",
        "Titel",
    ),
    "category": (
        "category",
        "Product Category",  # Shopify
        "Categories",  # WooCommerce, Magento
        "Categories (x,y,z...)",  # PrestaShop
        "category_name",
        "product_type",  # Google Merchant
        "google_product_category",
        "item_type",  # Amazon
        "Type",  # Shopify
        "label",
        "class",
        "Kategorie",
        "Warengruppe",
    ),
    "id": ("id", "uid", "key", "Product ID"),
    "group": (
        "group",
        "group_id",
        "product_id",
        "item_group_id",  # Google Merchant
        "Handle",  # Shopify
        "parent_sku",  # Amazon
        "Parent",  # WooCommerce
        "SKU",
        "item_sku",
        "Variant SKU",
        "Artikelnummer",
        "productNumber",  # Shopware
    ),
    "mask": ("mask", "mask_file", "mask_path", "mask_file_name"),
    "cutout": ("cutout", "cutout_file", "cutout_path", "cutout_file_name"),
}
# Further pictures of the same product, beside that of `file`.
MORE = re.compile(
    r"(product)?image(file)?\d+|additionalimages?|additionalimagelinks?|otherimageurl\d+|additionalphotos?"
)

WOOCOMMERCE = {"type", "sku", "images"}


def key(header: str) -> str:
    """A column's name as it is compared."""
    return re.sub(r"[\W_]+", "", header.casefold())


def find(headers: Sequence[str]) -> dict[str, list[int]]:
    """Our columns among a header's -> their places; a value is the first that isn't empty there.

    There are several places for `group` (all that are known), and for `category` in exports with both of Shopify's.
    """
    keys = [key(header) for header in headers]
    found: dict[str, list[int]] = {}
    for column, aliases in ALIASES.items():
        places = list(dict.fromkeys(keys.index(key(alias)) for alias in aliases if key(alias) in keys))
        if column != "group":
            places = places[: 2 if column == "category" and places and keys[places[0]] == "productcategory" else 1]
        if places:
            found[column] = places
    if set(keys) >= WOOCOMMERCE and found.get("category") == [keys.index("type")]:
        del found["category"]  # there it says "simple" or "variable"
    return found


def more_pictures(headers: Sequence[str], taken: Sequence[int]) -> list[int]:
    """The places of the columns with further pictures."""
    return [place for place, header in enumerate(headers) if place not in taken and MORE.fullmatch(key(header))]
