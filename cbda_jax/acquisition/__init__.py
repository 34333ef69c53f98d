"""Where to ask: scores, class balance, and exact selection. This room knows arrays only."""

from cbda_jax.acquisition.balance import SCHEMES, class_quota, class_weights, clip_weights
from cbda_jax.acquisition.budget import (
    Geometry,
    capped,
    geometry,
    most_picks,
    picks_per_image,
    reach,
)
from cbda_jax.acquisition.correction import corrected_classes, corrected_weights
from cbda_jax.acquisition.pool import Pool, Report, Selection
from cbda_jax.acquisition.scores import (
    EVIDENCE,
    SCORES,
    TIES,
    UNITS,
    AcquisitionMaps,
    pixel_scores,
    region_scores,
    score_maps,
)
from cbda_jax.acquisition.select import Picks, greedy_picks
from cbda_jax.acquisition.squares import block, blocked_mask

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
