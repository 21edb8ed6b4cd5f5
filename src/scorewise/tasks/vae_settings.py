"""What is measured of a VAE, and how thoroughly."""

from dataclasses import dataclass, replace
from typing import Annotated

from scorewise.data.roots import cache_root
from scorewise.data.source import Source
from scorewise.latent import AIS
from scorewise.quality import ExtractorStore, ReferenceImages
from scorewise.ranges import AtLeast, Count, Place, Whole, within_ranges


@within_ranges
@dataclass(frozen=True)
class AnnealingSettings:
    """How the likelihood of images is estimated, see `AIS`.

    Args:
        temperatures: their number, both ends included.
        chains: per image.
        leapfrog: steps per trajectory.
        step: of the leapfrog, to begin with.
        acceptance: rate that the step follows.
        growth: factor by which the step grows or shrinks after every trajectory.
        jitter: by how much the step of every trajectory varies.
        rough: whether trajectories follow gradients in bfloat16.
        rows: chains of how many images times chains are annealed at once.

    Raises:
        ValueError: a setting is out of range.
    """

    temperatures: Annotated[int, AtLeast(2)] = 1000
    chains: Count = 16
    leapfrog: Count = 10
    step: float = 0.1
    acceptance: float = 0.8
    growth: float = 1.02
    jitter: float = 0.5
    rough: bool = False
    rows: Count = 512

    def __post_init__(self) -> None:
        self.ais()

    def ais(self) -> AIS:
        """Return annealing with these settings."""
        return AIS(
            self.temperatures,
            self.chains,
            self.leapfrog,
            self.step,
            target=self.acceptance,
            factor=self.growth,
            jitter=self.jitter,
            rough=self.rough,
        )


@within_ranges
@dataclass(frozen=True)
class LikelihoodSettings:
    """Of how many images the likelihood is estimated, and what else of them.

    Args:
        test_size: test images whose likelihood is estimated; None: all.
        importance: draws of the importance-weighted bound.
        simulated: images drawn from the model that are annealed forward and backward; 0 for none.
        checked: test images that are annealed in float64 too; 0 for none.
    """

    test_size: Count | None = 100
    importance: Count = 500
    simulated: Whole = 16
    checked: Whole = 4

    def wanted(self, count: int) -> int:
        """Return of how many of so many test images the likelihood is wanted."""
        return count if self.test_size is None else min(count, self.test_size)


@within_ranges
@dataclass(frozen=True)
class ValidationSettings:
    """A short annealing in every validation.

    Args:
        val_size: validation images that are annealed; 0 for none.
        val_temperatures, val_chains: of those.
    """

    val_size: Whole = 0
    val_temperatures: Annotated[int, AtLeast(2)] = 100
    val_chains: Count = 4

    def ais(self, whole: AIS) -> AIS:
        """Return the short annealing, otherwise as that of the test."""
        return replace(whole, temperatures=self.val_temperatures, chains=self.val_chains)


@within_ranges
@dataclass(frozen=True)
class SampleSettings:
    """Samples that are compared with all test images.

    Args:
        samples: mean images of latents from the prior; None: none are compared.
        features: that are compared, see `ExtractorStore.take`.
        cache: folder that holds features/ with extractors; None: $SCOREWISE_CACHE or the user's cache folder.
    """

    samples: Annotated[int, AtLeast(4)] | None = None
    features: Place | None = None
    cache: str | None = None

    def images_of(self, source: Source, seed: int) -> ReferenceImages | None:
        """Return the test images with their features, for so many samples; None where none are compared.

        Raises:
            UserError: there is no such extractor.
        """
        if self.samples is None:
            return None
        store = ExtractorStore(cache_root(self.cache) / "features")
        images = ReferenceImages(store.take(self.features, source, "task.features"), source, "test", seed=seed)
        images.warn_if_few(self.samples)
        return images
