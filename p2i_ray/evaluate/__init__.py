"""Measure generated pictures."""
