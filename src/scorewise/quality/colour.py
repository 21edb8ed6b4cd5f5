"""Mean colours: whether samples are shifted in colour as a whole."""

from dataclasses import dataclass

import numpy as np
from torch import Tensor

CHANNELS = ("red", "green", "blue")
RESAMPLES = 200
"""Of the bootstrap."""


@dataclass(frozen=True)
class ColourDistance:
    """How far the mean colours of samples are from those of images, in 8-bit levels.

    Args:
        value: 1-Wasserstein distance between the distributions of a channel's mean over an image, averaged over the
            channels.
        error: its bootstrap standard error over samples and images.
        shift: mean of the samples minus mean of the images, by channel.
        samples: how many.
        kind: what the samples are.
        references: how many images they are compared with.
        split: which images.
    """

    value: float
    error: float
    shift: tuple[float, ...]
    samples: int
    kind: str
    references: int
    split: str

    def __str__(self) -> str:
        """Return the number and all facts."""
        shift = " ".join(f"{channel:+.1f}" for channel in self.shift)
        return f"mean colour {self.value:.3g} (s.e. {self.error:.2g}; means differ by {shift}): {self.facts()}"

    def by_metric(self, name: str) -> dict[str, float]:
        """Return the distance under a name and its error under <name>_se, and the shifts of the samples themselves."""
        shifts = {f"shift_{channel}": by for channel, by in zip(CHANNELS, self.shift, strict=True)}
        return {name: self.value, f"{name}_se": self.error, **(shifts if name == "mean_colour" else {})}

    def facts(self) -> str:
        """Return what the number depends on."""
        return (
            "1-Wasserstein distance of per-image channel means, averaged over channels, in levels of 256; "
            f"{self.samples:,} {self.kind} against {self.references:,} clean 8-bit images of the {self.split} split"
        )


def mean_colour_distance(samples_BCHW: Tensor, references_RCHW: Tensor, seed: int) -> tuple[float, float, list[float]]:
    """Return the 1-Wasserstein distance of per-image channel means, averaged over channels (scipy).

    A shift of all images by m levels in every channel gives m.

    Args:
        samples_BCHW: as bytes.
        references_RCHW: as bytes.
        seed: of the bootstrap.

    Returns:
        the distance, its bootstrap standard error, and by how much the mean of each channel differs.
    """
    samples_BC, references_RC = (
        images.double().mean((2, 3)).cpu().numpy() for images in (samples_BCHW, references_RCHW)
    )
    rng = np.random.default_rng(seed)

    def resampled(colours: np.ndarray) -> np.ndarray:
        return colours[rng.integers(0, len(colours), len(colours))]

    value = _wasserstein(samples_BC, references_RC)
    again = [_wasserstein(resampled(samples_BC), resampled(references_RC)) for _ in range(RESAMPLES)]
    shift = (samples_BC.mean(0) - references_RC.mean(0)).tolist()
    return value, float(np.std(again, ddof=1)), shift


def _wasserstein(a_BC: np.ndarray, b_RC: np.ndarray) -> float:
    from scipy.stats import wasserstein_distance

    return float(np.mean([wasserstein_distance(a, b) for a, b in zip(a_BC.T, b_RC.T, strict=True)]))
