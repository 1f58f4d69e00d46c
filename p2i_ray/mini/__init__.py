"""The toy world: data and tiny models that stand in for the real ones."""
