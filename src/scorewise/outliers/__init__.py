"""Outlier scores of trained models, and how well they tell sets of examples apart."""

from scorewise.outliers.cells import CellFindings, two_sided
from scorewise.outliers.combined import Surprise, combined
from scorewise.outliers.conformal import conformal_p_values, discoveries, false_discovery_rates
from scorewise.outliers.detection import METRICS, DetectionResults, Estimate, compare, detection, replicates
from scorewise.outliers.examples import Examiner, refused_likelihood
from scorewise.outliers.explanation import Explanation
from scorewise.outliers.image_page import coloured, write_image_page
from scorewise.outliers.incomplete import as_if_whole, usual_surprise
from scorewise.outliers.kept_surveys import KeptSurveys
from scorewise.outliers.nearest import NearestRows
from scorewise.outliers.odd_images import OddImages
from scorewise.outliers.odd_regions import OddRegions
from scorewise.outliers.page import write_page
from scorewise.outliers.profiles import ScoreProfiles
from scorewise.outliers.score_norms import ScoreNorms
from scorewise.outliers.statistics import (
    MEANINGS,
    outlier_scores,
    percentiles,
    quantities,
    quantities_behind,
    statistics_of,
)
from scorewise.version import renamed

__all__ = [
    "MEANINGS",
    "METRICS",
    "CellFindings",
    "DetectionResults",
    "Estimate",
    "Examiner",
    "Explanation",
    "KeptSurveys",
    "NearestRows",
    "OddImages",
    "OddRegions",
    "ScoreNorms",
    "ScoreProfiles",
    "Surprise",
    "as_if_whole",
    "coloured",
    "combined",
    "compare",
    "conformal_p_values",
    "detection",
    "discoveries",
    "false_discovery_rates",
    "outlier_scores",
    "percentiles",
    "quantities",
    "quantities_behind",
    "refused_likelihood",
    "replicates",
    "statistics_of",
    "two_sided",
    "usual_surprise",
    "write_image_page",
    "write_page",
]

__getattr__ = renamed(
    __name__, {"Comparison": "DetectionResults", "numbers": "quantities", "numbers_behind": "quantities_behind"}
)
