"""Fault injection: short runs of the loop with faults, compared with undisturbed runs."""
