"""The files that say how a CLIP's pictures are prepared: their size, and their mean and deviation."""

from __future__ import annotations

from p2i_ray.errors import UserError
from p2i_ray.storage import folders, locations

NAMES = ("preprocessor_config.json", "processor_config.json")


def there(location: str) -> list[str]:
    """The locations of those that a folder has."""
    names = folders.names(location)
    return [locations.join(location, name) for name in NAMES if name in names]


def check(location: str, *, setting: str) -> None:
    """Check that a folder has one of them.

    Args:
        location: of the CLIP.
        setting: name of the setting that has the folder.

    Raises:
        UserError: it hasn't.
    """
    if not there(location):
        raise UserError(f"{setting}={location} has no {NAMES[0]}; copy that of the CLIP it was made from")
