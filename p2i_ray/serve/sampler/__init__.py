"""The sampler as a Ray Serve deployment: batching, model reload, client."""
