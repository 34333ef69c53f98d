"""The builder of data sets that are declared: files found by patterns, values read as they say."""

import functools
import os
from collections.abc import Mapping
from typing import ClassVar

from cbda_jax.data.datasets.folders import PairBuilder, SourceConfig
from cbda_jax.data.datasets.pairs import Pair, by_parts, join, select
from cbda_jax.data.datasets.patterns import Pattern
from cbda_jax.data.datasets.trees import Tree
from cbda_jax.data.declaration import Declaration


class DeclaredBuilder(PairBuilder, skip_registration=True):
    """Base of the builders that `builder_of` makes."""

    DECLARATION: ClassVar[Declaration]

    def find_pairs(self, root: str | os.PathLike[str]) -> Mapping[str, list[Pair]]:
        """Finds the images and labels of every split of which there are images."""
        declaration = self.DECLARATION
        tree = Tree(root, declaration.layout)
        found = {}
        for name, split in declaration.splits.items():
            pattern = Pattern(split.images)
            images = by_parts(pattern.find(tree, declaration.parents), pattern, pattern.parts)
            if not images:
                continue
            if split.labels is None:
                pairs = [Pair(image_id, images[image_id], None) for image_id in sorted(images)]
            else:
                of_labels = Pattern(split.labels)
                labels = of_labels.find(tree, declaration.parents)
                if not labels:
                    raise of_labels.missing(tree)
                pairs = join(
                    images,
                    by_parts(labels, of_labels, pattern.parts),
                    f" ({split.labels})",
                    lambda text, name=name: self.note(f"{name}: {text}"),
                    listed=self.source.files is not None or split.files is not None,
                )
            listed = None if split.files is None else os.path.join(root, split.files)  # noqa: PTH118
            found |= select({name: pairs}, listed)
        if not found:
            raise Pattern(next(iter(declaration.splits.values())).images).missing(tree)
        return found

    def about_split(self, split: str) -> str:
        """Where the images of a split that is not there would be, as the end of a message."""
        declared = self.DECLARATION.splits.get(split)
        return "" if declared is None else f", or images like {declared.images} in its folder"


@functools.cache
def builder_of(declaration: Declaration) -> type[DeclaredBuilder]:
    """The TFDS builder of a declaration; the same class each time."""
    # A config equal to one that TFDS has listed must be that very one: one list a class.
    config = SourceConfig(
        size=declaration.size, label_space=declaration.space, label_size=declaration.label_size
    )
    return type(
        declaration.name.title().replace("_", ""),
        (DeclaredBuilder,),
        {
            "__doc__": declaration.about,
            "__module__": __name__,
            "name": declaration.name,
            "DECLARATION": declaration,
            "BUILDER_CONFIGS": [config],
            "ENCODING": declaration.encoding,
            "NATIVE_LABELS": declaration.native_labels,
            "KNOWN_MISMATCHES": declaration.mismatches,
        },
    )
