"""Where to ask: scores, class balance, and exact selection. This room knows arrays only."""

from cbda_jax.acquisition.balance.correction import (
    corrected_classes,
    corrected_weights,
    weights_by_score,
)
from cbda_jax.acquisition.balance.nearest import prototypes
from cbda_jax.acquisition.balance.prior import log_ratio, source_prior, target_prior
from cbda_jax.acquisition.balance.round import (
    TIES_WITH_WEIGHTS,
    UNBALANCED,
    Balance,
    RoundBalance,
    round_balance,
)
from cbda_jax.acquisition.balance.void import BANDS, bands, void_shares
from cbda_jax.acquisition.balance.weights import (
    SCHEMES,
    class_quota,
    class_weights,
    clip_weights,
    register_scheme,
)
from cbda_jax.acquisition.budget import (
    BUDGET_EXAMPLES,
    BUDGET_UNITS,
    Budget,
    Geometry,
    Reach,
    capped,
    geometry,
    most_picks,
    of_round,
    picks_of_pixels,
    picks_per_image,
    reach,
    read_budget,
)
from cbda_jax.acquisition.pool.pool import Pool, Report, Selection
from cbda_jax.acquisition.scoring.maps import (
    AcquisitionMaps,
    classes_left,
    pixel_scores,
    region_scores,
    score_maps,
)
from cbda_jax.acquisition.scoring.scores import MAPS, SCORES, register_score
from cbda_jax.acquisition.scoring.scoring import EVIDENCE, TIES, UNITS, Scoring
from cbda_jax.acquisition.selection.select import Picks, greedy_picks
from cbda_jax.acquisition.selection.squares import block, blocked_mask

__all__ = [
    "BANDS",
    "BUDGET_EXAMPLES",
    "BUDGET_UNITS",
    "EVIDENCE",
    "MAPS",
    "SCHEMES",
    "SCORES",
    "TIES",
    "TIES_WITH_WEIGHTS",
    "UNBALANCED",
    "UNITS",
    "AcquisitionMaps",
    "Balance",
    "Budget",
    "Geometry",
    "Picks",
    "Pool",
    "Reach",
    "Report",
    "RoundBalance",
    "Scoring",
    "Selection",
    "bands",
    "block",
    "blocked_mask",
    "capped",
    "class_quota",
    "class_weights",
    "classes_left",
    "clip_weights",
    "corrected_classes",
    "corrected_weights",
    "geometry",
    "greedy_picks",
    "log_ratio",
    "most_picks",
    "of_round",
    "picks_of_pixels",
    "picks_per_image",
    "pixel_scores",
    "prototypes",
    "reach",
    "read_budget",
    "region_scores",
    "register_scheme",
    "register_score",
    "round_balance",
    "score_maps",
    "source_prior",
    "target_prior",
    "void_shares",
    "weights_by_score",
]
