"""Listing names of the toy world: brand, adjectives, numbers and marketing words around the product's noun.

Only the noun tells the category (every category has several), as in retailers' own names; three products share
a bottle, two a bag and two a shoe, so the picture alone does not tell which scene is right.
"""

from __future__ import annotations

import numpy as np

RGB = tuple[int, int, int]

NOUNS: dict[str, tuple[str, ...]] = {
    "sunscreen": ("sunscreen lotion", "sun cream", "sunblock"),
    "dish soap": ("dish soap", "washing-up liquid", "plate cleaner"),
    "shampoo": ("shampoo", "hair wash", "hair conditioner"),
    "school bag": ("school bag", "student satchel", "book bag"),
    "trekking backpack": ("trekking backpack", "hiking rucksack", "trail pack"),
    "running shoe": ("running shoe", "sprint trainer", "jogging sneaker"),
    "snow boot": ("snow boot", "winter boot", "ice boot"),
    "tent": ("tent", "camping shelter", "camp dome"),
    "fridge": ("fridge", "refrigerator", "fridge freezer"),
    "sofa": ("sofa", "couch", "loveseat"),
    "floor lamp": ("floor lamp", "standing lamp", "reading light"),
    "surfboard": ("surfboard", "longboard", "wave board"),
}

SIZES: dict[str, tuple[str, ...]] = {
    "sunscreen": ("SPF50 200ml", "SPF30 150ml", "SPF20 100ml"),
    "dish soap": ("500ml", "750ml", "1l refill"),
    "shampoo": ("250ml", "400ml", "300ml"),
    "school bag": ("18l", "22l", "15 inch"),
    "trekking backpack": ("45l", "60l", "38l"),
    "running shoe": ("size 42", "size 39", "size 44"),
    "snow boot": ("size 41", "size 38", "size 45"),
    "tent": ("2 person", "3 person", "4 person"),
    "fridge": ("180l", "260l A++", "310l"),
    "sofa": ("2 seats", "3 seats", "180cm"),
    "floor lamp": ("160cm LED", "150cm 9W", "140cm E27"),
    "surfboard": ("7ft", "8ft", "6ft 2"),
}

BRANDS = (
    "Nordano",
    "Velora",
    "BrightCo",
    "Kamiko",
    "Zentro",
    "Aluvia",
    "Pico",
    "Mirabel",
    "Ostra",
    "Lumex",
    "Tavio",
    "Halden",
)
ADJECTIVES = ("premium", "classic", "light", "everyday", "soft", "sturdy", "compact", "family", "modern", "pro")
MARKETING = (
    "new 2026",
    "best seller",
    "free shipping",
    "top quality",
    "hot deal",
    "official",
    "gift idea",
    "limited offer",
)
COLOURS: dict[str, RGB] = {
    "yellow": (246, 205, 60),
    "orange": (240, 138, 46),
    "red": (214, 58, 52),
    "pink": (236, 122, 176),
    "purple": (128, 76, 182),
    "blue": (52, 98, 208),
    "teal": (32, 158, 160),
    "green": (70, 164, 78),
    "grey": (142, 148, 156),
    "white": (236, 236, 232),
    "black": (56, 58, 66),
    "brown": (136, 92, 60),
}

# Never drawn for the ordinary splits: "unseen" products differ in the words around the noun, and in colour.
UNSEEN_BRANDS = ("Quorin", "Sablewood", "Jetto", "Umbria")
UNSEEN_ADJECTIVES = ("deluxe", "eco", "vintage", "smart")
UNSEEN_COLOURS: dict[str, RGB] = {
    "turquoise": (72, 206, 196),
    "olive": (132, 134, 52),
    "crimson": (164, 24, 62),
    "lilac": (186, 158, 226),
}


def listing_name(rng: np.random.Generator, category: str, unseen: bool = False) -> tuple[str, RGB]:
    """A listing name such as "Velora light sun cream SPF50 200ml yellow best seller", and the colour it names.

    Args:
        rng: advanced by the same number of draws whatever the outcome.
        category: a key of `NOUNS`.
        unseen: take brand, adjective and colour from the words that the ordinary splits never show.
    """
    colours = UNSEEN_COLOURS if unseen else COLOURS
    brand = _pick(rng, UNSEEN_BRANDS if unseen else BRANDS)
    adjective = _pick(rng, UNSEEN_ADJECTIVES if unseen else ADJECTIVES)
    noun, size, marketing = _pick(rng, NOUNS[category]), _pick(rng, SIZES[category]), _pick(rng, MARKETING)
    colour = _pick(rng, tuple(colours))
    with_adjective, with_size, with_marketing, noun_last = rng.random(4) < (0.6, 0.6, 0.35, 0.25)
    around = [brand, *([adjective] if with_adjective else []), *([size] if with_size else []), colour]
    words = [*around, noun] if noun_last else [*around[: 1 + with_adjective], noun, *around[1 + with_adjective :]]
    return " ".join([*words, *([marketing] if with_marketing else [])]), colours[colour]


def _pick(rng: np.random.Generator, options: tuple[str, ...]) -> str:
    return options[int(rng.integers(len(options)))]
