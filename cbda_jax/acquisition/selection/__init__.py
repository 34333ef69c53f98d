"""Exact greedy selection in one score map."""
