"""Whether a CLIP tokenizer's files are there: without them transformers makes an empty one, which knows no word."""

from __future__ import annotations

from p2i_ray.errors import UserError
from p2i_ray.storage import folders


def check(location: str) -> None:
    """Check that a folder has a tokenizer's vocabulary.

    Raises:
        UserError: it hasn't.
    """
    names = set(folders.names(location))
    if "tokenizer.json" not in names and not {"vocab.json", "merges.txt"} <= names:
        raise UserError(
            f"{location} has neither tokenizer.json nor vocab.json with merges.txt; check that the folder is complete"
        )
