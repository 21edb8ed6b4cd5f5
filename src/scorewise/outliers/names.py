"""Names in a report on outliers: of sets, and of the numbers about them."""

INSIDE = "test"
"""What the in-distribution examples are called beside the outlier sets."""
ENDINGS = ("_se", "_low", "_high")
"""What follows the names of numbers for their standard errors and the ends of their intervals."""
RESERVED = (INSIDE, "mean", "others")
"""What no outlier set can be called."""
