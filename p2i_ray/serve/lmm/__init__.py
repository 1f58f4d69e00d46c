"""The LMM over HTTP: OpenAI's chat completions with pictures, on ray.serve.llm; what answers is passed in."""
