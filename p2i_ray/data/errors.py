"""The error of a picture that can't be used."""

from __future__ import annotations


class ImageError(ValueError):
    """An image that can't be used; its text is the reason with which the row is set aside."""
