"""Memory, hours and dollars of a training or a run, before it starts."""
