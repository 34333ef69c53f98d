"""The selection loop written one pick at a time: slow, and easy to see that it is right."""

import numpy as np


def greedy(score, budget, radius, blocked=None):
    """Take the best unblocked pixel, block the square around it, repeat.

    Equal scores: the smallest column, then the smallest row. A score of -inf is never taken.

    Returns:
        `(picks, blocked)`: a list of `(row, col, score)` in the order in which they were taken, and
        the mask of pixels that no later pick may be centred on.
    """
    height, width = score.shape
    blocked = np.zeros((height, width), bool) if blocked is None else blocked.copy()
    picks = []
    while len(picks) < budget:
        left = np.where(blocked, -np.inf, score)
        best = left.max(initial=-np.inf)
        if best == -np.inf:
            break
        # The first True of the transposed map has the smallest column, then the smallest row.
        col, row = divmod(int(np.argmax((left == best).T)), height)
        picks.append((row, col, score[row, col]))
        blocked[
            max(row - radius, 0) : row + radius + 1, max(col - radius, 0) : col + radius + 1
        ] = True
    return picks, blocked
