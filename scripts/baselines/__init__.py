"""Acquisition as a textbook writes it, one pick at a time: what the benchmark compares to."""
