"""Images edits: request schema, decoding, generation, encoding."""
