"""The run folder: finished steps, attempts, status and metrics."""
