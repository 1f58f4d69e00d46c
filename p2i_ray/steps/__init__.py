"""What a round does, one verb a file."""
