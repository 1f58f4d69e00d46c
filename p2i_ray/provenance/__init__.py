"""Marks of provenance: that a model made a picture, with what, and who says so."""
