"""The quality of samples as numbers: FID and KID on the features of a network, and the distance of mean colours."""

from scorewise.quality.classifier import ClassifierFeatures
from scorewise.quality.colour import ColourDistance, mean_colour_distance
from scorewise.quality.comparison import Comparison, meanings, numbers
from scorewise.quality.distances import Distance, fid, kid
from scorewise.quality.drawing import describe, draw
from scorewise.quality.extractor import FeatureExtractor, eight_bits
from scorewise.quality.inception import InceptionFeatures
from scorewise.quality.shelf import Shelf

__all__ = [
    "ClassifierFeatures",
    "ColourDistance",
    "Comparison",
    "Distance",
    "FeatureExtractor",
    "InceptionFeatures",
    "Shelf",
    "describe",
    "draw",
    "eight_bits",
    "fid",
    "kid",
    "mean_colour_distance",
    "meanings",
    "numbers",
]
