"""Where to ask: scores, class balance, and exact selection. This room knows arrays only."""

from cbda_jax.acquisition.balance.correction import corrected_classes, corrected_weights
from cbda_jax.acquisition.balance.weights import SCHEMES, class_quota, class_weights, clip_weights
from cbda_jax.acquisition.budget import (
    Geometry,
    capped,
    geometry,
    most_picks,
    picks_per_image,
    reach,
)
from cbda_jax.acquisition.pool.pool import Pool, Report, Selection
from cbda_jax.acquisition.scoring.maps import (
    EVIDENCE,
    SCORES,
    TIES,
    UNITS,
    AcquisitionMaps,
    pixel_scores,
    region_scores,
    score_maps,
)
from cbda_jax.acquisition.selection.select import Picks, greedy_picks
from cbda_jax.acquisition.selection.squares import block, blocked_mask

__all__ = [
    "EVIDENCE",
    "SCHEMES",
    "SCORES",
    "TIES",
    "UNITS",
    "AcquisitionMaps",
    "Geometry",
    "Picks",
    "Pool",
    "Report",
    "Selection",
    "block",
    "blocked_mask",
    "capped",
    "class_quota",
    "class_weights",
    "clip_weights",
    "corrected_classes",
    "corrected_weights",
    "geometry",
    "greedy_picks",
    "most_picks",
    "picks_per_image",
    "pixel_scores",
    "reach",
    "region_scores",
    "score_maps",
]
