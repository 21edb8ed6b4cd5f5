"""Outlier scores of trained models, and how well they tell sets of examples apart."""

from scorewise.outliers.detection import METRICS, Comparison, Estimate, compare, detection, replicates
from scorewise.outliers.examples import Examiner
from scorewise.outliers.statistics import (
    MEANINGS,
    numbers,
    numbers_behind,
    outlier_scores,
    percentiles,
    statistics_of,
)

__all__ = [
    "MEANINGS",
    "METRICS",
    "Comparison",
    "Estimate",
    "Examiner",
    "compare",
    "detection",
    "numbers",
    "numbers_behind",
    "outlier_scores",
    "percentiles",
    "replicates",
    "statistics_of",
]
