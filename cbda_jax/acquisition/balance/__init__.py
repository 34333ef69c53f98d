"""Class balance: weights and quotas from what is labelled so far. NumPy on the host."""
