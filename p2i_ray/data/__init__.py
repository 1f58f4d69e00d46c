"""EPBD: the schema, reading and writing it, splits, statistics, and how it is made from photos."""
