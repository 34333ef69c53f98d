"""What the rounds of a run are given: what is to be asked, of which images, and who picks."""

import dataclasses
from collections.abc import Callable
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Int32, Int64, UInt8

from cbda_jax import acquisition, annotation
from cbda_jax.methods import Method


@runtime_checkable
class Pool(annotation.LabelledImages, Protocol):
    """The target images, such as `cbda_jax.data.records.Records`."""

    @property
    def sizes(self) -> Int32[np.ndarray, "images 2"]:
        """(height, width) of every label."""
        ...

    def __len__(self) -> int: ...

    def image(self, index: int) -> UInt8[np.ndarray, "height width 3"]:
        """RGB of an image, at the network's input size."""
        ...


@runtime_checkable
class Picker(Protocol):
    """Scores and picks, as `cbda_jax.run.acquirer.Acquirer` does."""

    def choose(
        self, *arguments: Any, **named: Any
    ) -> tuple[acquisition.Selection, acquisition.Report]:
        """The picks of a round; see `Acquirer.choose`."""
        ...

    def maps(self, *arguments: Any, **named: Any) -> acquisition.AcquisitionMaps:
        """The score map of an image; see `Acquirer.maps`."""
        ...

    def logits(self, *arguments: Any, **named: Any) -> Any:
        """The logits of all images, for rounds that are held in parts; see `Acquirer.logits`."""
        ...


@dataclasses.dataclass(frozen=True)
class Plan:
    """What the rounds of a run are to do.

    Attributes:
        name: of the method, for the log.
        method: what it acquires.
        budget: over all rounds; by default a fraction of all target pixels.
        count: how many rounds share it.
        budget_in: what it is counted in, one of `acquisition.BUDGET_UNITS`.
        seconds_per_answer: what an answer is estimated to take.
        settled: how many rounds were held before the budget was this one. What they asked for
            stays, and the others share the rest.
        source_pixels: gives the labelled pixels of every class of the source, `[C]`; for class
            evidence "prior_corrected".
    """

    name: str
    method: Method
    budget: float | int
    count: int
    budget_in: str = "pixels"
    seconds_per_answer: float | int = 2.0
    settled: int = 0
    source_pixels: Callable[[], Int64[np.ndarray, " classes"]] | None = None
