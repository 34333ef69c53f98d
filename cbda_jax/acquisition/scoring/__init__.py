"""Scores: how much is to be learned from a label, for every pixel of an image."""
