"""The fields of a config that say what the data are; `cbda_jax.config.fields` has all others."""

from cbda_jax.config.rules import (
    Field,
    data_set,
    named_values,
    number,
    one_of,
    size,
    switch,
    text,
    whole,
)

DATA = (
    Field(
        "data.dir",
        "~/tensorflow_datasets",
        text("a folder"),
        "Prepared data sets (ArrayRecord) are kept here: a folder, gs://BUCKET/... or "
        "s3://BUCKET/.... The default is TFDS_DATA_DIR of the environment where that is set.",
        "resume",
    ),
    Field(
        "data.cache",
        "",
        text("a folder"),
        'Where a machine copies prepared data to that lie in an object store; "": cbda_jax in '
        "XDG_CACHE_HOME, or ~/.cache.",
        "resume",
    ),
    Field(
        "data.root",
        "",
        text('a folder, or ""'),
        "Holds a folder for each data set, of its name, with its files as downloaded; unused once "
        "prepared.",
        "resume",
    ),
    Field(
        "data.declared",
        {},
        named_values("data sets by name, each with the fields of a declaration"),
        "Data sets of one's own: name -> classes, splits, encoding, ... as "
        "cbda_jax.data.declaration.Declaration.of takes them; see docs/guide/own_data.md.",
    ),
    Field(
        "data.source",
        "synthetic_city/source_train",
        data_set(),
        "The labelled images to learn from.",
    ),
    Field(
        "data.source_files",
        "",
        text('a text file, or ""'),
        'A list of the source images to use, a file name a line; "": all.',
        "moved",
    ),
    Field(
        "data.target_files",
        "",
        text('a text file, or ""'),
        'A list of the target images to use, a file name a line; "": all.',
        "moved",
    ),
    Field(
        "data.source_mapping",
        {},
        named_values("class names of the source, each with a class or None"),
        "Where the source has other classes than the run: class of the source -> class of the run, "
        "or None for void. Those of the same name may be left out; empty: all have the same names.",
    ),
    Field(
        "data.target_mapping",
        {},
        named_values("class names of the target, each with a class or None"),
        "The same for target, val and test.",
    ),
    Field(
        "data.target",
        "synthetic_city/target_train",
        data_set(),
        "The images that are asked about.",
    ),
    Field(
        "data.val",
        "synthetic_city/target_val",
        data_set(),
        "Is evaluated on while training.",
        "evaluate",
    ),
    Field(
        "data.test",
        "synthetic_city/target_test",
        data_set(),
        "Is evaluated on at the end.",
        "evaluate",
    ),
    Field("data.source_size", (96, 192), size(), "Size of source images in training."),
    Field(
        "data.target_size",
        (96, 192),
        size(),
        "Size of target images wherever the network sees them.",
    ),
    Field("data.source_batch", 4, whole(1), "Source images a step, of all devices."),
    Field("data.target_batch", 4, whole(1), "Target images a step, of all devices."),
    Field("data.flip", False, switch(), "Mirror half of the training images."),
    Field(
        "data.source_order",
        "class_uniform",
        one_of(("class_uniform", "rare_class", "shuffled")),
        "How source images are drawn: class_uniform as in RIPU, rare_class as in DAFormer.",
    ),
    Field(
        "data.rare_class_temperature",
        0.01,
        number("a number above 0", lambda value: value > 0),
        "Temperature of rare_class; a lower one favours rare classes more.",
    ),
    Field(
        "data.source_free",
        False,
        switch(),
        "Train on the target alone, from `pretrained` weights; source data is not needed.",
    ),
    Field("data.threads", 2, whole(1, 1024), "Threads that decode images.", "resume"),
)
"""Of the section `data`."""

SYNTHETIC_CITY = (
    *(
        Field(
            f"data.synthetic_city.{split}",
            scenes,
            whole(1, 1_000_000),
            f"How many scenes the split {split} has.",
        )
        for split, scenes in (
            ("source_train", 300),
            ("target_train", 200),
            ("target_val", 60),
            ("target_test", 100),
        )
    ),
    Field("data.synthetic_city.seed", 0, whole(0, 2000), "Other seeds draw other scenes."),
    Field(
        "data.synthetic_city.native",
        1,
        whole(1, 8),
        "Scenes are drawn so many times as high and wide as the network sees them: the native size "
        "of the target, at which it is asked about and evaluated. 1: at the size of training.",
    ),
)
"""Of the section `data.synthetic_city`."""
