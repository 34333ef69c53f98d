"""Where to ask: scores, class balance, and exact selection. This room knows arrays only."""

from cbda_jax.acquisition.balance import SCHEMES, class_quota, class_weights
from cbda_jax.acquisition.budget import Geometry, geometry, most_picks, picks_per_image, reach
from cbda_jax.acquisition.pool import Pool, Report, Selection
from cbda_jax.acquisition.scores import (
    SCORES,
    UNITS,
    AcquisitionMaps,
    pixel_scores,
    region_scores,
    score_maps,
)
from cbda_jax.acquisition.select import Picks, greedy_picks
from cbda_jax.acquisition.squares import block, blocked_mask

__all__ = [
    "SCHEMES",
    "SCORES",
    "UNITS",
    "AcquisitionMaps",
    "Geometry",
    "Picks",
    "Pool",
    "Report",
    "Selection",
    "block",
    "blocked_mask",
    "class_quota",
    "class_weights",
    "geometry",
    "greedy_picks",
    "most_picks",
    "picks_per_image",
    "pixel_scores",
    "reach",
    "region_scores",
    "score_maps",
]
