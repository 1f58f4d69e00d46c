"""A run folder as one HTML page, one file a section."""
