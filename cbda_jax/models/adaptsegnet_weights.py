"""The names of the DeepLab-v2 of AdaptSegNet (Tsai et al., CVPR 2018) and of what came of it.

ADVENT, CLAN, DACS and many more name their arrays alike and compute with them differently: how
many heads there are, on which features, and how many branches of a head are added up.
"""

import re
from collections.abc import Iterator

import numpy as np

from cbda_jax.models import resnet_weights, torch_names
from cbda_jax.models.deeplab import DeepLabV2Caffe
from cbda_jax.models.resnet import FEATURES
from cbda_jax.models.torch_names import CONV, VECTOR, Arrays, Entry, Layout, Translation

_BRANCHES = 4
_HEAD = "layer6.conv2d_list"
# Of the first random numbers of a branch: weights of this deviation, biases within this bound.
_DEVIATION = 0.01
_BOUND = (9 * FEATURES) ** -0.5
_INPUTS = (
    "its images are taken to be as in AdaptSegNet: 0 to 255, blue first, less the mean (104.0, "
    "116.7, 122.7); of a code that scales them otherwise the weights do not fit"
)


def table(model: DeepLabV2Caffe) -> Iterator[Entry]:
    """Every array of the network, under the names of AdaptSegNet."""
    yield from resnet_weights.table(model.backbone, root="")
    for i in range(len(model.head.dilations)):
        yield Entry(f"{_HEAD}.{i}.weight", ("head", "kernels", i), CONV)
        yield Entry(f"{_HEAD}.{i}.bias", ("head", "biases", i), VECTOR)


def identify(arrays: Arrays) -> int | None:
    """The number of classes of arrays of this network, None for others."""
    if f"{_HEAD}.0.weight" not in arrays or "conv1.weight" not in arrays:
        return None
    return torch_names.count_classes(arrays[f"{_HEAD}.0.weight"])


def _translate(arrays: Arrays) -> Translation | None:
    if "conv1.weight" not in arrays:
        return None
    if "layer5.conv2d_list.0.0.weight" in arrays:
        return Translation(
            dict(arrays),
            refusal="its head and the scale of its images are ProDA's, of which there is no "
            "network here",
        )
    heads = {
        name: torch_names.within(arrays, f"{name}.conv2d_list.")
        for name in ("layer5", "layer6")
        if _features(arrays, name) is not None
    }
    if not heads:
        return None
    kept = {name: value for name, value in arrays.items() if resnet_weights.is_part(name)}
    others = {
        name: value
        for name, value in arrays.items()
        if name not in kept and not re.match(r"layer[56]\.conv2d_list\.", name)
    }
    on_last = [name for name in heads if _features(arrays, name) == FEATURES]
    if not on_last:
        # Loading says what is missing or of another shape.
        return Translation({**arrays})
    notes = [_INPUTS]
    if len(on_last) == 2:
        notes.insert(0, "its two heads on the last features are added up, as CLAN evaluates them")
    elif len(heads) == 2:
        left = next(name for name in heads if name not in on_last)
        notes.insert(0, f"{left}, its head on the features before the last, is left out")
    head, *second = (_living(heads[name], name, notes) for name in on_last)
    if second:
        shapes = [{name: value.shape for name, value in h.items()} for h in (head, *second)]
        if shapes[0] != shapes[1]:
            return Translation({**arrays})
        head = {name: value + second[0][name] for name, value in head.items()}
    total = {f"{_HEAD}.{name}": value for name, value in head.items()}
    return Translation({**kept, **total, **others}, tuple(notes), resnet_weights.unlike(kept))


def _features(arrays: Arrays, head: str) -> int | None:
    """How many channels a head's features have; None where there is no such head."""
    first = arrays.get(f"{head}.conv2d_list.0.weight")
    return first.shape[1] if first is not None and first.ndim == 4 else None


def _living(head: Arrays, name: str, notes: list[str]) -> dict[str, np.ndarray]:
    """A head without the branches that its network never added up.

    AdaptSegNet and DACS return within the loop over the branches: the first two alone are summed,
    the others get no gradient and keep their first random numbers. ADVENT and CLAN sum all four.
    The names are the same, the numbers tell: of a hundred thousands, their deviation does by
    chance not differ by a hundredth from what they were drawn with, and any training changes it.
    """
    fresh = [i for i in range(_BRANCHES) if _is_fresh(head, i)]
    if fresh == [2, 3]:
        notes.append(
            f"of {name} the branches at rates 18 and 24 hold their first random numbers, as "
            "AdaptSegNet sums the first two alone: they are zero now"
        )
        return {
            key: np.zeros_like(value) if key.startswith(("2.", "3.")) else value
            for key, value in head.items()
        }
    notes.append(
        f"the four branches of {name} are added up, as ADVENT does"
        + (f"; at random are still {len(fresh)} of them" if fresh else "")
    )
    return dict(head)


def _is_fresh(head: Arrays, branch: int) -> bool:
    weight, bias = head.get(f"{branch}.weight"), head.get(f"{branch}.bias")
    if weight is None or bias is None or weight.size < 10_000:
        return False
    if not all(np.issubdtype(array.dtype, np.floating) for array in (weight, bias)):
        return False
    numbers = weight.astype(np.float64)
    deviation = float(numbers.std())
    # NaN is fresh by no comparison.
    return (
        abs(deviation / _DEVIATION - 1) < 0.01
        and abs(float(numbers.mean())) < 10 * _DEVIATION * numbers.size**-0.5
        and abs(float(((numbers / deviation) ** 4).mean()) - 3) < 0.2
        and bool((np.abs(bias) <= 1.01 * _BOUND).all())
    )


WEIGHTS = torch_names.TorchWeights(
    DeepLabV2Caffe, table, identify, (Layout("AdaptSegNet's DeepLab-v2", _translate),)
)
