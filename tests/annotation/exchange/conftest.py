import numpy as np
import pytest

from cbda_jax.annotation import Queries
from cbda_jax.annotation.exchange import Sheet
from cbda_jax.label_space import LabelSpace

CLASSES = ("road", "traffic <sign> & light", "sky", "été")
SIZES = {"a/0": (12, 20), "a/1": (12, 20), "b é": (31, 47)}


@pytest.fixture
def make_sheet():
    """`make_sheet(radius, n)`: a round of `n` queries in three images, apart from each other."""

    def make(radius=1, n=24, number=3):
        space = LabelSpace("street", CLASSES, np.array([[128, 64, 128]] * 4, np.uint8))
        step = 2 * radius + 1
        places = [
            (image, row, col)
            for image, (height, width) in enumerate(SIZES.values())
            # At the borders too, where a square reaches beyond the image.
            for row in {*range(0, height, step), height - 1 - (height - 1) % step}
            for col in range((image + row // step) % 2 * (radius > 0), width, step)
        ]
        rng = np.random.default_rng(radius)
        chosen = [places[i] for i in rng.permutation(len(places))[:n]]
        image, row, col = np.array(chosen, np.int32).reshape(-1, 3).T
        queries = Queries(
            round=number,
            step=10,
            image_ids=tuple(SIZES),
            image=image,
            row=row,
            col=col,
            score=np.linspace(2, 1, len(row)).astype(np.float32),
            predicted=rng.integers(0, len(CLASSES), len(row), np.uint8),
            radius=radius,
            about={},
        )
        return Sheet(queries, space, SIZES)

    return make


@pytest.fixture(params=[0, 1, 2])
def sheet(request, make_sheet):
    return make_sheet(request.param)


@pytest.fixture
def answers():
    """`answers(sheet)`: an answer for some queries, void among them: place -> train id."""

    def some(sheet):
        rng = np.random.default_rng(5)
        values = [*range(len(sheet.space.classes)), 255]
        places = rng.permutation(len(sheet.queries))[: len(sheet.queries) * 2 // 3]
        return {int(place): int(rng.choice(values)) for place in places}

    return some


@pytest.fixture
def expect():
    """`expect(sheet, answers)`: the patches that these answers make."""

    def patches(sheet, answers):
        side = 2 * sheet.queries.radius + 1
        found = np.full((len(sheet.queries), side, side), 254, np.uint8)
        for place, value in answers.items():
            own, row, col = sheet.centre(place)
            height, width = sheet.sizes[own]
            for i in range(side):
                for j in range(side):
                    at = row + i - sheet.queries.radius, col + j - sheet.queries.radius
                    if 0 <= at[0] < height and 0 <= at[1] < width:
                        found[place, i, j] = value
        return found

    return patches
