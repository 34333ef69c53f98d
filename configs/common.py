"""What all experiments share: every field of a config, with its meaning and its default."""

import os
from collections.abc import Callable

import ml_collections
from ml_collections import config_dict

from cbda_jax.errors import near

# Short names for `--config=FILE:name=value,name=value`.
ARGUMENTS = {
    "method": "method",
    "network": "network",
    "seed": "seed",
    "budget": "acquisition.budget",
    "steps": "training.steps",
    "class_balance": "acquisition.class_balance",
    "allocation": "acquisition.allocation",
    "pretrained": "pretrained",
    "dtype": "dtype",
}


def base() -> ml_collections.ConfigDict:
    """Every field. Sizes are (height, width) in pixels."""
    config = ml_collections.ConfigDict()
    # One of cbda_jax.methods.METHODS; fields of `acquisition` left unset follow it.
    config.method = "cbda"
    config.seed = 0
    config.num_classes = 19  # 19 (Cityscapes) or 16 (shared with SYNTHIA)
    config.network = "small_unet"  # cbda_jax.models.create_model
    # Where the network starts: an ImageNet backbone or a whole checkpoint (.safetensors or .pth),
    # or the workdir of another run, such as one of source_only; "": random.
    config.pretrained = ""
    config.dtype = "float32"  # of the network's arithmetic; "bfloat16" keeps parameters float32

    data = config.data = ml_collections.ConfigDict()
    # Prepared data sets (ArrayRecord) are kept here.
    data.dir = os.environ.get("TFDS_DATA_DIR", "~/tensorflow_datasets")
    # Holds the folders gtav/, synthia/ and cityscapes/ as downloaded; unused once prepared.
    data.root = ""
    data.source = "synthetic_city/source_train"
    # A list of the source images to use, a file name a line; "": all. Of gtav and synthia.
    data.source_files = ""
    data.target = "synthetic_city/target_train"
    data.val = "synthetic_city/target_val"  # evaluated on while training
    data.test = "synthetic_city/target_test"  # evaluated on at the end
    # How many scenes each split of synthetic_city has; other seeds draw other scenes.
    data.synthetic_city = ml_collections.ConfigDict()
    data.synthetic_city.source_train = 300
    data.synthetic_city.target_train = 200
    data.synthetic_city.target_val = 60
    data.synthetic_city.target_test = 100
    data.synthetic_city.seed = 0
    data.source_size = (96, 192)
    data.target_size = (96, 192)
    data.source_batch = 4  # of all devices together
    data.target_batch = 4
    data.flip = False  # mirror half of the training images
    # How source images are drawn: class_uniform as in RIPU, rare_class as in DAFormer, shuffled.
    data.source_order = "class_uniform"
    data.rare_class_temperature = 0.01  # of rare_class; lower favours rare classes more
    # Train on the target alone, from `pretrained` weights; source data is not needed then.
    data.source_free = False
    data.threads = 2  # decoding images

    training = config.training = ml_collections.ConfigDict()
    training.steps = 1000
    training.optimizer = "sgd"  # or "adamw"
    training.learning_rate = 2.5e-4  # of the backbone
    training.head_multiplier = 10.0  # learning rate of the head over the backbone's
    training.momentum = 0.9
    training.weight_decay = 5e-4
    training.schedule_steps = 1000  # the poly schedule reaches 0 here
    training.schedule_power = 0.9
    training.warmup = 0  # steps of linear rise
    # Start again from `pretrained` after every round, the schedule too; else one run goes on.
    training.restart_each_round = False
    # Cut every device's part of a batch into so many, one after the other: less memory.
    training.accumulate = 1
    training.ema = 0.0  # decay of averaged weights, which then predict and acquire; 0: off
    training.colour_jitter = 0.0  # strength of random colour changes, 0 to 1
    training.scale_range = (1.0, 1.0)  # random magnification, cut back to the training size
    training.source_weight = 1.0  # cross entropy on source labels
    training.target_weight = 1.0  # cross entropy on target labels
    training.consistency_weight = 0.1
    training.consistency = "l1"  # or "kl"
    training.negative_weight = 1.0
    training.negative_threshold = 0.05

    acquisition = config.acquisition = ml_collections.ConfigDict()
    acquisition.budget = 0.05  # fraction of all target pixels, over all rounds
    acquisition.rounds = (400, 480, 560, 640, 720)  # held before these steps
    acquisition.score = config_dict.placeholder(str)  # ripu, entropy, impurity, random
    acquisition.unit = config_dict.placeholder(str)  # region, pixel
    acquisition.radius = config_dict.placeholder(int)
    # none, quota, or a scheme of acquisition.class_weights: exp, inverse_power, ...
    acquisition.class_balance = config_dict.placeholder(str)
    acquisition.allocation = config_dict.placeholder(str)  # per_image, global
    # Of which class a pixel gets the weight: argmax (the predicted one), expected (under the
    # softmax), corrected (what the predicted class turned out to be so far), true (a diagnostic).
    acquisition.class_evidence = config_dict.placeholder(str)
    # The largest class weight is at most this many times the smallest; 0: no limit.
    acquisition.weight_ratio = config_dict.placeholder(float)
    acquisition.balance_from = config_dict.placeholder(int)  # classes are balanced from this round
    # Of a global allocation: at most so many times the even share in an image; 0: no limit.
    acquisition.image_cap = config_dict.placeholder(float)
    # Added to the impurity, so that windows of one class compete too; 0: off.
    acquisition.impurity_floor = config_dict.placeholder(float)
    # How windows of one class are ranked: reference (by its epsilon), random, class_balanced.
    acquisition.ties = config_dict.placeholder(str)
    # The reference's impurity is slightly negative in windows of one class; True: 0 there.
    acquisition.clamp_impurity = False
    acquisition.batch_per_device = 1

    annotation = config.annotation = ml_collections.ConfigDict()
    # Who answers: one of cbda_jax.annotation.ORACLES, or an import path, "my_module:my_oracle".
    annotation.oracle = "ground_truth"

    evaluation = config.evaluation = ml_collections.ConfigDict()
    evaluation.every = 250  # steps; 0: at the end only
    evaluation.flip = True  # average with the mirror image
    evaluation.scales = (1.0,)  # average over these magnifications of the input
    evaluation.batch_per_device = 1

    checkpoint = config.checkpoint = ml_collections.ConfigDict()
    # "": in the workdir. An object store (gs://..., s3://...) needs gcsfs or s3fs.
    checkpoint.dir = ""
    checkpoint.every = 250  # steps; also before every round and at the end
    checkpoint.keep = 2

    report = config.report = ml_collections.ConfigDict()
    report.log_every = 10  # steps between records of the losses
    report.gallery = 3  # target images drawn with their score maps

    # Compiled programs are kept here between runs; "": not at all.
    config.compilation_cache = "~/.cache/cbda_jax/xla"
    return config


def apply_argument(
    config: ml_collections.ConfigDict,
    argument: str | None,
    recipe: Callable[[ml_collections.ConfigDict], None] = lambda _: None,
) -> None:
    """Applies `name=value,name=value` of `--config=FILE:...`; names are those of `ARGUMENTS`.

    Args:
        config: changed in place.
        argument: what stands behind the colon, if anything.
        recipe: changes the config once the network is known; what is asked for wins over it.

    Raises:
        ValueError: unknown name, or a value of the wrong type.
    """
    _apply(config, argument)  # the recipe depends on the network that is asked for
    recipe(config)
    _apply(config, argument)


def _apply(config: ml_collections.ConfigDict, argument: str | None) -> None:
    for part in (argument or "").split(","):
        if not part:
            continue
        name, equals, value = part.partition("=")
        if not equals or name not in ARGUMENTS:
            raise ValueError(
                f"config argument {part!r} found, expected name=value with name one of "
                f"{', '.join(ARGUMENTS)}{near(name, ARGUMENTS)} "
                "(other fields: --config.FIELD=VALUE)"
            )
        kind = config.get_type(ARGUMENTS[name]) if "." not in ARGUMENTS[name] else None
        if kind is None:
            section, field = ARGUMENTS[name].split(".")
            kind = config[section].get_type(field)
        try:
            converted = kind(value)
        except ValueError as error:
            raise ValueError(
                f"config argument {part!r} found, expected a value of type {kind.__name__}"
            ) from error
        config.update_from_flattened_dict({ARGUMENTS[name]: converted})
