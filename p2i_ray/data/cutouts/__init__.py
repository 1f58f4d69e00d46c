"""Cut products out of photos, measure the cutouts, and frame them in a square."""
