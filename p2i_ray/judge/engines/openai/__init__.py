"""A client of an OpenAI-compatible endpoint as a Ray Serve replica."""
