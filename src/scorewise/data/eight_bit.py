"""Images of 8-bit pixels, in [-1, 1]."""

from scorewise.data.source import FixedSource


class EightBitImages(FixedSource):
    """Images of 256 levels, held as bytes (N, D) in the order channel, row, column."""

    units_per_step, unit, repeats = 127.5, "8-bit pixel values", True
    offset, levels = 127.5, 256

    def extent(self, seed: int) -> tuple[float, float]:
        """Return the ends of the scale, -1 and 1."""
        return -1.0, 1.0
