"""Every field of a config, once: default, what it may hold, meaning, and when it may change.

Those of the data are in `cbda_jax.config.data_fields`, of training in `training_fields`.
docs/reference/config.md is written from this table by scripts/write_reference.py.
"""

from cbda_jax import acquisition, annotation, models
from cbda_jax.config.data_fields import DATA, SYNTHETIC_CITY
from cbda_jax.config.rules import (
    Field,
    Rule,
    default_of,
    is_finite,
    limit,
    named_values,
    number,
    of_method,
    one_of,
    registered,
    several,
    share,
    switch,
    text,
    whole,
)
from cbda_jax.config.training_fields import TRAINING
from cbda_jax.methods import METHODS
from cbda_jax.reporting.trackers import TRACKERS

_RUN = (
    Field(
        "method",
        str,
        default_of(one_of(METHODS), "cbda, or ripu_pixel where people answer"),
        "What is acquired, and which domains are trained on. Fields of `acquisition` that "
        "are left unset follow it. People are asked about single pixels unless a method is named.",
    ),
    Field("seed", 0, whole(0), "Seeds all that is random: weights, batches, random scores."),
    Field(
        "num_classes",
        19,
        whole(2, 254),
        "How many classes are told apart: 19 (Cityscapes), 16 (shared with SYNTHIA) or 13. With a "
        "label_space, which says it better, leave it out.",
    ),
    Field(
        "label_space",
        str,
        Rule(
            "the name of a label space, its import path, or None for that of num_classes",
            lambda value: value is None or (isinstance(value, str) and value != ""),
        ),
        "The classes by name (cityscapes_19, synthia_16, synthia_13, a registered one), or by "
        'import path ("my_module:MY_SPACE"). Unset: those of num_classes.',
    ),
    Field(
        "network",
        "small_unet",
        registered(lambda: sorted(models.NETWORKS), "my_module:MyNet"),
        "The network that is trained.",
    ),
    Field(
        "pretrained",
        "",
        text('a .safetensors or .pth file, the workdir of a run, or ""'),
        "Where the network starts: an ImageNet backbone or a whole checkpoint, or the "
        'workdir of another run, such as one of source_only. "": random.',
        "moved",
    ),
    Field(
        "pretrained_part",
        "auto",
        one_of(("auto", "backbone", "all")),
        "What is taken of `pretrained`: backbone leaves the head random; all refuses weights that "
        "leave a class without; auto takes the head too, as far as its classes are known to be "
        "those of the run, and says so.",
    ),
    Field(
        "pretrained_classes",
        "",
        text('the name of a label space or data set, its import path, or ""'),
        "The classes of the head of `pretrained`, a file of weights, in their order: its rows then "
        "go to the classes of the same name. A workdir knows its own.",
    ),
    Field(
        "pretrained_mapping",
        {},
        named_values("class names of the weights, each with a class or None"),
        "Where classes of `pretrained` have other names than those of the run: class there -> "
        "class of the run, or None. A class that several are mapped to starts from their mean. "
        "Empty: what data.source_mapping and data.target_mapping say.",
    ),
    Field(
        "dtype",
        "float32",
        one_of(("float32", "bfloat16")),
        "The type that the network computes in; its parameters stay float32.",
    ),
    Field(
        "deterministic",
        False,
        switch(),
        "On GPUs: only algorithms that round the same in every run, so that a run gives the same "
        "numbers bit for bit, as on CPUs and TPUs; slower.",
    ),
    Field(
        "compilation_cache",
        "~/.cache/cbda_jax/xla",
        text('a folder, or ""'),
        'Compiled programs are kept here between runs; "": not at all.',
        "resume",
    ),
)
_ACQUISITION = (
    Field(
        "acquisition.budget",
        0.05,
        # What picks can reach depends on the method and the images.
        number("a number of 0 or more, in pixels at most 1", lambda value: value >= 0),
        "What all rounds together ask for: a fraction of all target pixels, or what "
        "acquisition.budget_in says. On a command line with its unit too, which sets "
        f"acquisition.budget_in: {acquisition.BUDGET_EXAMPLES}.",
        "extend",
    ),
    Field(
        "acquisition.budget_in",
        "pixels",
        one_of(acquisition.BUDGET_UNITS),
        "What the budget counts: pixels, as a fraction, or pixels_per_image on average, in "
        "its label file, both rounded up to whole picks in every image and round; or what "
        "people pay, which is never exceeded: answers_per_image on average, answers_in_all, "
        "or hours at annotation.seconds_per_answer. An answer is one key: a square that the oracle "
        "answers as a whole, or a pixel of one that it does not.",
    ),
    Field(
        "acquisition.rounds",
        (400, 480, 560, 640, 720),
        several(
            "increasing whole numbers",
            lambda at: type(at) is int,
            least=0,
        ),
        "The steps before which rounds are held.",
        "extend",
    ),
    Field(
        "acquisition.score",
        str,
        of_method(text("a name")),
        "A key of cbda_jax.acquisition.SCORES (ripu, entropy, impurity, margin, "
        "least_confidence, random, pixelpick), or the import path of another one: "
        '"module:function".',
    ),
    Field("acquisition.unit", str, of_method(text("a name")), "region or pixel."),
    Field(
        "acquisition.radius",
        int,
        of_method(whole(0, 512)),
        "k. Regions are (2k + 1)^2 pixels; a pixel blocks (2k + 1)^2 around itself.",
    ),
    Field(
        "acquisition.share",
        float,
        of_method(number("a number above 0, at most 1", lambda value: 0 < value <= 1)),
        "Which part of an image's pixels pixelpick draws from.",
    ),
    Field(
        "acquisition.class_balance",
        str,
        of_method(text("a name")),
        "none, quota, a key of cbda_jax.acquisition.SCHEMES (exp, inverse_power, inverse_log, "
        "median_frequency, effective_number), or the import path of another scheme: "
        '"module:function".',
    ),
    Field(
        "acquisition.class_balance_options",
        str,
        of_method(text("a text")),
        'Parameters of the scheme, such as "power=0.5,prior=0.1"; those left out keep its '
        "defaults.",
    ),
    Field(
        "acquisition.allocation",
        str,
        of_method(text("a name")),
        "per_image (the same budget in every image) or global.",
    ),
    Field(
        "acquisition.class_evidence",
        str,
        of_method(text("a name")),
        "Of which class a pixel gets the weight: argmax (the predicted one), expected "
        "(under the softmax), corrected (what the predicted class turned out to be so far), "
        "corrected_by_score (the same, regions of one class apart), prior_corrected (under the "
        "class frequencies of the target, estimated by EM), nearest (whose answers so far have the "
        "nearest mean softmax), true (a diagnostic).",
    ),
    Field(
        "acquisition.weight_ratio",
        float,
        of_method(limit()),
        "The largest class weight is at most this many times the smallest; 0: no limit.",
    ),
    Field(
        "acquisition.balance_from",
        int,
        of_method(whole(1, 1000)),
        "Classes are balanced from this round.",
    ),
    Field(
        "acquisition.avoid_void",
        bool,
        of_method(switch()),
        "Scores are lowered where answers so far were void: by predicted class, regions of one "
        "class apart, and band of the image.",
    ),
    Field(
        "acquisition.flip",
        bool,
        of_method(switch()),
        "To score, predictions are averaged over an image and its mirror image; twice the time.",
    ),
    Field(
        "acquisition.image_cap",
        float,
        of_method(limit()),
        "Of a global allocation: at most so many times the even share in an image; 0: no limit.",
    ),
    Field(
        "acquisition.sub_rounds",
        int,
        of_method(whole(1, 1000)),
        "A round is held as so many small ones, without training in between: each asks for its "
        "share of the round and uses all answers so far. Answers have to come at once, as those of "
        "people do not; 1: the round is one.",
    ),
    Field(
        "acquisition.impurity_floor",
        float,
        of_method(share()),
        "Added to the impurity, so that windows of one class compete too; 0: off.",
    ),
    Field(
        "acquisition.ties",
        str,
        of_method(text("a name")),
        "How windows of one class are ranked: reference (by its epsilon, the least uncertain "
        "and least weighted first); below all others: random, class_balanced (drawn), "
        "balanced_uncertainty (by uncertainty x class weight).",
    ),
    Field(
        "acquisition.clamp_impurity",
        False,
        switch(),
        "The reference's impurity is slightly negative in windows of one class; True: 0 there.",
    ),
    Field(
        "acquisition.batch_per_device",
        1,
        whole(1),
        "Images scored at a time. Picks depend on it by how the network's convolutions round, and "
        "by nothing else.",
    ),
)
_ANNOTATION = (
    Field(
        "annotation.oracle",
        "ground_truth",
        registered(lambda: annotation.ORACLES, "my_module:my_oracle"),
        "Who answers: a key of cbda_jax.annotation.ORACLES, or the import path of another one: "
        '"module:function". Of the labels of the target: ground_truth (or exact), every pixel as '
        "it is; centre, a square as its centre; majority, a square as most of it; noisy, exact "
        "with mistakes. people: they do, with python -m cbda_jax.annotate.",
    ),
    Field(
        "annotation.seconds_per_answer",
        2.0,
        number("a number above 0", lambda value: value > 0),
        "What an answer takes a person, where nobody has measured it. Points took 2.4 s for the "
        "first of a class and 0.9 s for each further one (Bearman et al., ECCV 2016).",
    ),
    Field(
        "annotation.noise",
        0.02,
        share(),
        "Fraction of the queries that the oracle noisy mistakes, away from boundaries.",
    ),
    Field(
        "annotation.noise_at_boundaries",
        0.1,
        share(),
        "The same of queries that have another class within 3 pixels of them.",
    ),
    Field(
        "annotation.redundancy",
        0.05,
        share(),
        "With oracle people: the share of a round's queries that two of them are asked, where two "
        "take part. A change holds from the next round on.",
        "resume",
    ),
    Field(
        "annotation.hidden",
        0.1,
        share(),
        "With oracle people: the share of a round's queries at which they do not see what the "
        "network predicts, to measure how far they follow it. A change holds from the next round "
        "on.",
        "resume",
    ),
)
_EVALUATION = (
    Field(
        "evaluation.every",
        250,
        whole(0),
        "Steps between evaluations; 0: at the end only.",
        "evaluate",
    ),
    Field("evaluation.flip", True, switch(), "Average with the mirror image.", "evaluate"),
    Field(
        "evaluation.scales",
        (1.0,),
        several(
            "at least one number, all above 0",
            lambda scale: is_finite(scale) and scale > 0,
        ),
        "Average over these magnifications of the input.",
        "evaluate",
    ),
    Field(
        "evaluation.batch_per_device",
        1,
        whole(1),
        "Images predicted at a time. Figures depend on it by how the network's convolutions round, "
        "and by nothing else.",
        "evaluate",
    ),
)
_KEPT = (
    Field(
        "checkpoint.dir",
        "",
        text('a folder, an address, or ""'),
        'Where checkpoints go; "": in the workdir. An object store (gs://..., s3://...) '
        "needs gcsfs or s3fs.",
    ),
    Field(
        "checkpoint.every",
        250,
        whole(1),
        "Steps between checkpoints; one is also saved before every round and at the end.",
        "resume",
    ),
    Field("checkpoint.keep", 2, whole(1), "How many of the newest are kept.", "resume"),
    Field("report.log_every", 10, whole(1), "Steps between records of the losses.", "resume"),
    Field(
        "report.tracker",
        "",
        one_of(TRACKERS),
        "Where the figures go beside metrics.jsonl and TensorBoard: mlflow, wandb, or nowhere. "
        "Into the workdir, unless MLFLOW_TRACKING_URI or WANDB_MODE say otherwise.",
        "resume",
    ),
    Field("report.gallery", 3, whole(0), "Target images drawn with their score maps.", "resume"),
    Field(
        "report.worst",
        3,
        whole(0),
        "Images drawn where the network is wrong at the end, those with most errors.",
        "resume",
    ),
)
SECTIONS = {
    "The run": _RUN,
    "Data": DATA,
    "The drawn data set synthetic_city": SYNTHETIC_CITY,
    "Training": TRAINING,
    "Acquisition": _ACQUISITION,
    "Annotation": _ANNOTATION,
    "Evaluation": _EVALUATION,
    "Checkpoints and report": _KEPT,
}
"""All of them, in the order of errors and of the reference."""

FIELDS = {field.name: field for fields in SECTIONS.values() for field in fields}
"""The same by name."""
