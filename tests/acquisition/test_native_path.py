"""From logits of a 1280 x 640 input to picks at 2048 x 1024, beside textbook PyTorch.

tests/data/native_path.npz holds what `torch_values` gave with torch 2.13.0 on CPU. The seeds are
such that rounding decides no pick: float32 scores of the two agree to 1.3e-7, and the best rival in
the square around a pick scores at least 4e-7 less, so that the same pixels must be picked. Among
2331 picks, some have scores that are as close as that: these may come in another order.
"""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cbda_jax.acquisition import greedy_picks, region_scores

INPUT, NATIVE = (640, 1280), (1024, 2048)
# A fifth of 5 % of the pixels, in regions of 3 x 3.
PICKS = math.ceil(math.prod(NATIVE) * 0.05 / 5 / 9)
SAMPLE = np.s_[::23, ::37]
SEEDS = {8: 0, 4: 1}
STRIDES = [8, 4]  # DeepLab-v2; DeepLab-v3+ and SegFormer


def network_logits(stride):
    """Patches of classes, smaller ones in them, and noise: float32 [19, 640 / s, 1280 / s]."""
    rng = np.random.Generator(np.random.PCG64(SEEDS[stride]))
    h, w = (n // stride for n in INPUT)
    layers = [
        strength * np.kron(rng.standard_normal((19, h // n, w // n)), np.ones((n, n)))
        for n, strength in ((16, 4), (8, 2), (1, 0.3))
    ]
    return np.sum(layers, axis=0).astype(np.float32)


@functools.partial(jax.jit, static_argnames="via")
def ours(logits, via=INPUT):
    maps = region_scores(logits, radius=1, size=NATIVE, via=via)
    return maps, greedy_picks(maps.score, PICKS, radius=2, capacity=PICKS)


def torch_values(stride):
    """Upsampled twice, scored with convolutions, picked one at a time: slow and plain."""
    torch = pytest.importorskip("torch")
    x = torch.from_numpy(network_logits(stride))[None]
    for size in (INPUT, NATIVE):
        x = torch.nn.functional.interpolate(x, size, mode="bilinear", align_corners=True)

    def window_sum(x):
        kernel = torch.ones(x.shape[1], 1, 3, 3)
        return torch.nn.functional.conv2d(x, kernel, padding=1, groups=x.shape[1])

    p = x.softmax(dim=1)
    entropy = -(p * torch.log(p + 1e-6)).sum(dim=1, keepdim=True)
    prediction = p.argmax(dim=1)
    one_hot = torch.nn.functional.one_hot(prediction, 19).permute(0, 3, 1, 2).float()
    count = window_sum(one_hot)
    pixels = count.sum(dim=1, keepdim=True)
    share = count / pixels
    impurity = -(share * torch.log(share + 1e-6)).sum(dim=1, keepdim=True) / math.log(19)
    uncertainty = window_sum(entropy) / pixels / math.log(19)
    score = (impurity * uncertainty)[0, 0]
    left, picks, scores = score.clone(), [], []
    for _ in range(PICKS):
        best, rows = left.max(dim=0)
        col = int(best.argmax())
        row = int(rows[col])
        picks.append((row, col))
        scores.append(float(score[row, col]))
        left[max(row - 2, 0) : row + 3, max(col - 2, 0) : col + 3] = -torch.inf
    return {
        "picks": np.array(picks, np.int16),
        "pick_scores": np.array(scores, np.float32),
        "score": score.numpy()[SAMPLE],
        "impurity": impurity[0, 0].numpy()[SAMPLE],
        "uncertainty": uncertainty[0, 0].numpy()[SAMPLE],
        "prediction": prediction[0].numpy().astype(np.uint8)[SAMPLE],
    }


def pairs(picks):
    return list(map(tuple, np.stack([picks.row, picks.col], axis=1).tolist()))


@pytest.mark.parametrize("stride", STRIDES)
def test_maps_and_picks(stride, golden):
    values = golden("native_path")
    maps, picks = ours(jnp.asarray(np.moveaxis(network_logits(stride), 0, -1)))
    for name in ("score", "impurity", "uncertainty"):
        np.testing.assert_allclose(
            np.asarray(getattr(maps, name))[SAMPLE], values[f"{stride}_{name}"], rtol=0, atol=1e-5
        )
    np.testing.assert_array_equal(
        np.asarray(maps.prediction)[SAMPLE], values[f"{stride}_prediction"]
    )
    theirs = list(map(tuple, values[f"{stride}_picks"].tolist()))
    scores = values[f"{stride}_pick_scores"]
    assert len(theirs) == PICKS == 2331
    assert set(pairs(picks)) == set(theirs)
    np.testing.assert_allclose(picks.score, scores, rtol=0, atol=1e-6)
    score_of = dict(zip(theirs, scores.tolist(), strict=True))
    swapped = [k for k, (a, b) in enumerate(zip(pairs(picks), theirs, strict=True)) if a != b]
    assert all(abs(score_of[pairs(picks)[k]] - scores[k]) < 1e-6 for k in swapped)
    assert len(swapped) < 0.01 * PICKS


def test_upsampling_once_picks_others(golden):
    theirs = set(map(tuple, golden("native_path")["8_picks"].tolist()))
    _, picks = ours(jnp.asarray(np.moveaxis(network_logits(8), 0, -1)), via=None)
    assert 100 < len(set(pairs(picks)) - theirs) < 400


@pytest.mark.slow
@pytest.mark.parametrize("stride", STRIDES)
def test_values_are_those_of_torch(stride, golden):
    values = golden("native_path")
    for name, expected in torch_values(stride).items():
        np.testing.assert_allclose(values[f"{stride}_{name}"], expected, rtol=0, atol=1e-6)
