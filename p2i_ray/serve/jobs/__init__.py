"""Batch jobs: routes, storage on disk, background painting."""
