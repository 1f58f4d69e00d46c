"""A vLLM engine as a Ray Serve replica."""
