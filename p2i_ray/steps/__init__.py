"""Steps of a round, one verb a file."""
