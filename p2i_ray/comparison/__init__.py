"""Comparisons: arms of the loop and other methods on the same products, and the tables and figures of the paper."""
