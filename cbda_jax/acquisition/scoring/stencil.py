"""Which neighbouring input samples an output sample of an interpolation mixes, along one axis."""

import dataclasses
import itertools
from collections.abc import Sequence

import numpy as np

from cbda_jax.resize import taps


@dataclasses.dataclass(frozen=True)
class Stencil:
    """`output[i] = sum over j of weight[j, i] * input[start[i] + j]`, static along one axis.

    `start` never falls. Output samples with the same start form a group; `slots` is the size of the
    largest one, and `[groups, slots]` the layout in which a group's samples lie side by side.

    Attributes:
        length: how many input samples there are.
        start: int32 `[m]`. Samples past the end of the input weigh 0.
        weight: float32 `[reach, m]`.
    """

    length: int
    start: np.ndarray
    weight: np.ndarray

    @staticmethod
    def bilinear(lengths: Sequence[int]) -> "Stencil":
        """Linear interpolation from `lengths[0]` to `lengths[1]` samples, and on to the next one.

        Corners aligned. Two resizings in a row are one sum of three neighbours where both enlarge.
        """
        matrix = np.eye(lengths[0])
        for n, m in itertools.pairwise(lengths):
            low, high, share = taps(n, m)
            share = share.astype(np.float64)[:, None]
            matrix = (1 - share) * matrix[low] + share * matrix[high]
        start = (matrix != 0).argmax(axis=1)
        reach = int((matrix.shape[1] - (matrix[:, ::-1] != 0).argmax(axis=1) - start).max())
        padded = np.pad(matrix, ((0, 0), (0, reach)))
        index = start[None, :] + np.arange(reach)[:, None]
        weight = padded[np.arange(len(start))[None, :], index]
        return Stencil(lengths[0], start.astype(np.int32), weight.astype(np.float32))

    @property
    def padding(self) -> int:
        """How many samples past the end of the input are read, with weight 0."""
        return max(int(self.start.max()) + len(self.weight) - self.length, 0)

    @property
    def groups(self) -> int:
        """Number of groups: every start up to the last one, empty groups included."""
        return int(self.start.max()) + 1

    @property
    def slots(self) -> int:
        """How many output samples the largest group holds."""
        return int(np.bincount(self.start).max())

    @property
    def place(self) -> np.ndarray:
        """Where every output sample lies in the flattened `[groups, slots]`: int32 `[m]`."""
        first = np.searchsorted(self.start, self.start)
        rank = np.arange(len(self.start)) - first
        return (self.start * self.slots + rank).astype(np.int32)

    def grouped_weight(self) -> np.ndarray:
        """The weights in the grouped layout, 0 in empty slots: float32 `[groups, reach, slots]`."""
        out = np.zeros((len(self.weight), self.groups * self.slots), np.float32)
        out[:, self.place] = self.weight
        return out.reshape(len(self.weight), self.groups, self.slots).transpose(1, 0, 2)

    def banded(self, size: int) -> tuple[np.ndarray, np.ndarray]:
        """The weights by blocks of `size` output samples: each a matrix of few input samples.

        Returns:
            first int32 `[blocks]`, the first input sample of each block; weights float32
            `[blocks, size, reach]` of the samples from there. Samples past the end of the input,
            and output samples past the last one, weigh 0.
        """
        count = len(self.start)
        blocks = -(-count // size)
        first = self.start[::size]
        last = self.start[np.minimum(np.arange(1, blocks + 1) * size, count) - 1]
        reach = int((last - first).max()) + len(self.weight)
        weights = np.zeros((blocks * size, reach), np.float32)
        index = np.arange(count)
        for j, weight in enumerate(self.weight):
            np.add.at(weights, (index, self.start - first[index // size] + j), weight)
        return first.astype(np.int32), weights.reshape(blocks, size, reach)
