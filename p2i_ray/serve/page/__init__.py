"""The web page of the generator service."""
