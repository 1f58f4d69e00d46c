"""Features of the frozen encoders, computed once: encoding, shards, index."""
