"""Cut products out of photos without weights, and frame them in a square."""
