"""Sampling: one sampler for the loop, the evaluation and the service."""
