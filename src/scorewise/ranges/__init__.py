"""What a parameter may be, written where the parameter is, and checked for calls and for configs alike.

@within_ranges
def __init__(self, steps: Annotated[int, AtLeast(1)], sigma: Annotated[float, Positive("DSM divides by it")]) -> None:
"""

from scorewise.ranges.parameters import Kind, fault, kinds, within_ranges
from scorewise.ranges.plain import are_whole, has_shape, is_list, is_number, is_share, is_whole, mapping_in
from scorewise.ranges.range import (
    AtLeast,
    Between,
    Count,
    CountOr,
    DeviceNumbers,
    Duration,
    HiddenSizes,
    OneOf,
    Place,
    Position,
    Positive,
    PositiveNumber,
    Range,
    Sizes,
    Whole,
    WordList,
    Words,
)

__all__ = [
    "AtLeast",
    "Between",
    "Count",
    "CountOr",
    "DeviceNumbers",
    "Duration",
    "HiddenSizes",
    "Kind",
    "OneOf",
    "Place",
    "Position",
    "Positive",
    "PositiveNumber",
    "Range",
    "Sizes",
    "Whole",
    "WordList",
    "Words",
    "are_whole",
    "fault",
    "has_shape",
    "is_list",
    "is_number",
    "is_share",
    "is_whole",
    "kinds",
    "mapping_in",
    "within_ranges",
]
