"""What a pool must choose, from all candidates at once; and a way to feed a pool."""

import numpy as np

from cbda_jax.acquisition import Picks, class_quota


def candidates(rng, images, capacity, *, levels, classes):
    """Made-up sequences `(score [images, capacity], count, predicted)` with many equal scores."""
    count = rng.integers(0, capacity + 1, images).astype(np.int32)
    count[rng.random(images) < 0.5] = capacity
    score = -np.sort(-rng.integers(-levels, levels, (images, capacity)) / 7).astype(np.float32)
    score[np.arange(capacity)[None, :] >= count[:, None]] = -np.inf
    # The last classes are rare, and one has no candidate.
    share = np.array([0.6, 0.3, 0.1, 0.0])[:classes]
    predicted = rng.choice(classes, (images, capacity), p=share / share.sum()).astype(np.uint8)
    return score, count, predicted


def best(score, count, predicted, budget, counts=None, group_of=None):
    """(image, position) of the chosen candidates, sorted: the definition, by sorting the union."""
    if group_of is not None:
        predicted = group_of[predicted]
    union = sorted((-score[i, k], i, k) for i in range(len(count)) for k in range(count[i]))
    if counts is None:
        return sorted((i, k) for _, i, k in union[:budget])
    available = np.bincount([predicted[i, k] for _, i, k in union], minlength=len(counts))
    left = np.array(class_quota(counts, available, budget))
    chosen = []
    for _, i, k in union:
        if left[predicted[i, k]] > 0:
            left[predicted[i, k]] -= 1
            chosen.append((i, k))
    return sorted(chosen)


def feed(pool, score, count, predicted, images, batch):
    """Add these images in this order. A pick's row is its image and its column its position."""
    capacity = score.shape[1]
    for start in range(0, len(images), batch):
        image = np.full(batch, -1, np.int32)
        part = images[start : start + batch]
        image[: len(part)] = part
        rows = np.broadcast_to(image[:, None], (batch, capacity)).astype(np.int32)
        cols = np.broadcast_to(np.arange(capacity, dtype=np.int32), (batch, capacity))
        # What pads a batch holds candidates, too: they must not count.
        picks = Picks(rows, cols, score[image], count[image])
        pool.add(image, picks, predicted[image])


def chosen(pool):
    """(image, position) of what a pool chose on this process."""
    selection, _ = pool.finish(accept_truncated=True)
    assert (selection.row == selection.image).all()
    return list(zip(selection.image.tolist(), selection.col.tolist(), strict=True))
