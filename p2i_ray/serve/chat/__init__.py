"""The LMM's chat completions on ray.serve.llm."""
