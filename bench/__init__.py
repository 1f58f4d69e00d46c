"""Benchmarks: the figures of docs/results.md, each beside a rival in the same run."""
