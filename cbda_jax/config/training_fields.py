"""The fields of a config that say how a network is trained."""

from cbda_jax.config.rules import (
    Field,
    Rule,
    at_least_0,
    decay,
    is_finite,
    number,
    one_of,
    share,
    switch,
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
