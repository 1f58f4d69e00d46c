"""Requests to the judge and their replies: prompts, exemplars, tasks, parsing; independent of the engine."""
