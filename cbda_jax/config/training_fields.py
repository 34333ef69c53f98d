"""The fields of a config that say how a network is trained."""

from cbda_jax.acquisition import SCHEMES
from cbda_jax.config.rules import (
    Field,
    Rule,
    at_least_0,
    decay,
    is_finite,
    limit,
    number,
    one_of,
    registered,
    share,
    switch,
    text,
    whole,
)

TRAINING = (
    Field("training.steps", 1000, whole(1), "How many steps the whole training has.", "extend"),
    Field(
        "training.optimizer",
        "sgd",
        one_of(("sgd", "adamw")),
        "The optimizer: SGD as in RIPU, or AdamW.",
    ),
    Field("training.learning_rate", 2.5e-4, at_least_0(), "Learning rate of the backbone."),
    Field(
        "training.head_multiplier",
        10.0,
        at_least_0(),
        "Learning rate of the head over the backbone's.",
    ),
    Field(
        "training.momentum", 0.9, decay(), "Momentum of sgd; decay of the first moment of adamw."
    ),
    Field(
        "training.weight_decay",
        5e-4,
        at_least_0(),
        "Weight decay of parameters; adamw spares vectors (norms, biases).",
    ),
    Field(
        "training.schedule_steps",
        1000,
        whole(1),
        "Steps after which the poly schedule reaches 0.",
        "extend",
    ),
    Field("training.schedule_power", 0.9, at_least_0(), "Exponent of the poly schedule."),
    Field("training.warmup", 0, whole(0), "Steps of linear rise at the beginning."),
    Field(
        "training.restart_each_round",
        False,
        switch(),
        "Start again from `pretrained` after every round, the schedule too; else one "
        "training goes on.",
    ),
    Field(
        "training.accumulate",
        1,
        whole(1),
        "Cut every device's part of a batch into so many, one after the other: less memory.",
    ),
    Field(
        "training.ema",
        0.0,
        decay(),
        "Decay of averaged weights, which then predict and acquire; 0: off.",
    ),
    Field(
        "training.colour_jitter",
        0.0,
        share(),
        "Strength of random colour changes.",
    ),
    Field(
        "training.scale_range",
        (1.0, 1.0),
        Rule(
            "two numbers above 0, the smaller first",
            lambda value: (
                isinstance(value, tuple | list)
                and len(value) == 2
                and all(map(is_finite, value))
                and 0 < value[0] <= value[1]
            ),
        ),
        "Random magnification, cut back to the training size.",
    ),
    Field(
        "training.source_weight", 1.0, at_least_0(), "Weight of the cross entropy on source labels."
    ),
    Field(
        "training.target_weight", 1.0, at_least_0(), "Weight of the cross entropy on target labels."
    ),
    Field(
        "training.class_weights",
        "none",
        registered(lambda: ("none", *SCHEMES), "my_module:my_scheme"),
        "The cross entropy on target labels is weighted by class, from the labels so far: a key of "
        "cbda_jax.acquisition.SCHEMES, such as inverse_power, or the import path of another "
        "scheme. none: every label counts the same.",
    ),
    Field(
        "training.class_weight_options",
        "",
        text('a text, or ""'),
        'Parameters of that scheme, such as "power=0.5"; those left out keep its defaults.',
    ),
    Field(
        "training.class_weight_ratio",
        0.0,
        limit(),
        "The largest of these weights is at most this many times the smallest; 0: no limit.",
    ),
    Field(
        "training.logit_adjustment",
        0.0,
        at_least_0(),
        "tau. In the cross entropy on target labels, tau x log(share of the class among the labels "
        "so far) is added to the logits (Menon et al., 2021); 0: off, 1: as published.",
    ),
    Field(
        "training.consistency_weight",
        0.1,
        at_least_0(),
        "Weight of the local consistency of predictions on the source.",
    ),
    Field(
        "training.consistency",
        "l1",
        one_of(("l1", "kl")),
        "Distance between predictions that should be consistent.",
    ),
    Field(
        "training.negative_weight", 1.0, at_least_0(), "Weight of negative learning on the target."
    ),
    Field(
        "training.negative_threshold",
        0.05,
        number("a number above 0 and below 1", lambda value: 0 < value < 1),
        "Classes of a lower probability are learnt not to be there.",
    ),
)
