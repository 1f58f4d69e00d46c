"""Advice for a shop about a row that was set aside, in its own words."""

from __future__ import annotations

from p2i_ray.data.rejected import kind

CUTOUT = "add the product's cutout (a PNG with a transparent background)"

# By the kind of a reason: what is in front of its first colon.
ADVICE: dict[str, str] = {
    "ambiguous file": "Two files are spelled alike. Rename one, and write its exact name into the list.",
    "bad cutout": "Export the cutout again, as PNG with a transparent background, in the photo's own size, untrimmed.",
    "bad file name": "Rename the file, best with plain letters and digits, and write that name into the list.",
    "bad id": "Give the product a shorter id, on one line.",
    "bad mask": "Export the mask again, in the photo's own size or shape: white is the product, black is the rest.",
    "bad row": "Mend this line of the list; a text with a comma in it stands in quotes.",
    "between splits": "Nothing: it joins products of several splits. To use it, ingest all photos into a new folder.",
    "duplicate file": "Nothing, if the list names the photo twice; else write the right file name into this row.",
    "duplicate id": "Give the product an id of its own; a table's rows without ids are known by their pictures.",
    "empty category": "Fill in the category, or give all rows without one the same: ingest.category=NAME.",
    "empty file": "Fill in the name of the photo's file.",
    "empty name": "Fill in the product's name, as customers read it.",
    "ends its reader": "Open the photo in a picture program and save it again, smaller; such a file may be damaged.",
    "file missing": "Put the photo into the folder, or write the name that it has there into the list.",
    "held out": "Nothing: photos of this product are kept for the test. Or give all of its photos one category.",
    "name too long": "Put the product's name here, and not its description; check the quotes in the list.",
    "near-duplicate": "Nothing: another photo that looks like this one was kept.",
    "not judged": "Nothing: the same command asks about it again. The reason says why the judge gave no answer.",
    "no product found": f"Use a photo that shows one product, whole and not too small; or {CUTOUT}.",
    "no scene": "Add a photo of the product in front of a background; a cutout alone can't be trained on.",
    "outside the folder": "Save the photo in the folder itself; web addresses, links and other places are not read.",
    "people in the background": "Use a photo without people.",
    "poor cutout": f"Use a photo with a calm background and space around the product; or {CUTOUT}.",
    "repeated pair": "Nothing: an earlier line of the list names the same two pictures.",
    "text in the background": "Use a photo without text in its background, such as prices or banners.",
    "too large": "Save the photo smaller, or raise the limit that the reason names.",
    "too plain": "Use a photo of the product in a scene, not in front of a plain wall.",
    "too small": "Use the photo in its full size.",
    "unattractive": "Use a better photo, or lower ingest.cleaning.min_attractiveness if you like this one.",
    "unreadable": "Open the photo in a picture program and save it again as JPEG or PNG, with sRGB colours.",
}


def advice(reason: str) -> str:
    """Advice about a row that was set aside for a reason; empty where nothing is known."""
    return ADVICE.get(kind(reason), "")
