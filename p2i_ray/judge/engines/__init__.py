"""Engines behind the judge: vLLM, or a hosted endpoint."""
