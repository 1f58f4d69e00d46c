"""Make EPBD from a folder of photos and a CSV."""
