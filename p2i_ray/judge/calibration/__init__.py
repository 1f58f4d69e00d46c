"""Checks of the judge, with gold scores and without."""
