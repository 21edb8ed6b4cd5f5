"""The quality of samples as numbers: FID and KID on the features of a network, and the distance of mean colours."""

from scorewise.quality.classifier import ClassifierFeatures
from scorewise.quality.colour import ColourDistance, mean_colour_distance
from scorewise.quality.distances import Distance, fid, kid
from scorewise.quality.drawing import describe, draw
from scorewise.quality.extractor import FeatureExtractor, eight_bits
from scorewise.quality.extractor_store import ExtractorStore
from scorewise.quality.inception import InceptionFeatures
from scorewise.quality.reference_images import ReferenceImages, meanings, metric_values
from scorewise.version import renamed

__all__ = [
    "ClassifierFeatures",
    "ColourDistance",
    "Distance",
    "ExtractorStore",
    "FeatureExtractor",
    "InceptionFeatures",
    "ReferenceImages",
    "describe",
    "draw",
    "eight_bits",
    "fid",
    "kid",
    "mean_colour_distance",
    "meanings",
    "metric_values",
]

__getattr__ = renamed(
    __name__, {"Comparison": "ReferenceImages", "Shelf": "ExtractorStore", "numbers": "metric_values"}
)
