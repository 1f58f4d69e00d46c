"""Compositing: a pasted product's contact shadow, and its light brought towards the scene's."""
