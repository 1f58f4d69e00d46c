"""Frozen encoders that the judge, the diffusion model and the evaluation load alike."""
