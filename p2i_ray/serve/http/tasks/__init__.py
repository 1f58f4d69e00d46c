"""Batch jobs: many products in one request, painted beside the others, their state on disk."""
