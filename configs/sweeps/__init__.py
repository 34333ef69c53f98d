"""Sweeps of `scripts/sweep.py`: which arms, budgets and seeds of which experiment."""
