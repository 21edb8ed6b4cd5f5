"""FID and KID by torchmetrics, and what a number of either kind is worth nothing without."""

import warnings
from dataclasses import dataclass

import torch
from torch import Tensor, nn


class PassThrough(nn.Module):
    """Features that are there already, as torchmetrics wants its `feature=`.

    Args:
        num_features: per image.
    """

    def __init__(self, num_features: int) -> None:
        super().__init__()
        self.num_features = num_features

    def forward(self, features_BF: Tensor) -> Tensor:
        """Return the features themselves."""
        return features_BF


def fid(samples_BF: Tensor, references_RF: Tensor) -> float:
    """Return |m - m'|^2 + tr(C + C' - 2 (C C')^(1/2)) of means and unbiased covariances (Heusel et al. 2017, eq. 6).

    In float64. Its expectation grows as samples get fewer, so compare equal counts only.

    Args:
        samples_BF: features of samples.
        references_RF: features of images.

    Raises:
        ValueError: fewer than two of either, or a feature that is not finite.
    """
    from torchmetrics.image.fid import FrechetInceptionDistance

    _refuse(samples_BF, references_RF)
    # Features are those of all processes already.
    metric = FrechetInceptionDistance(PassThrough(samples_BF.shape[1]), sync_on_compute=False).set_dtype(torch.float64)
    metric.update(references_RF.double(), real=True)
    metric.update(samples_BF.double(), real=False)
    return float(metric.compute())


def kid(samples_BF: Tensor, references_RF: Tensor, subsets: int, subset_size: int, seed: int) -> tuple[float, float]:
    """Return the unbiased squared MMD with the kernel (x . y / F + 1)^3 (Binkowski et al. 2018): mean over subsets.

    In float64. It can be slightly negative.

    Args:
        samples_BF: features of samples.
        references_RF: features of images.
        subsets: how often both sets are subsampled, without replacement within a subset.
        subset_size: of each.
        seed: of the subsets.

    Returns:
        mean and standard deviation over the subsets, which overlap, so the second is no standard error.

    Raises:
        ValueError: a subset is larger than one of the sets or of fewer than two, or a feature is not finite.
    """
    from torchmetrics.image.kid import KernelInceptionDistance

    _refuse(samples_BF, references_RF)
    if subset_size < 2:
        raise ValueError(f"subsets of {subset_size} have no distance without bias: take 2 at least")
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*will save all extracted features.*")
        metric = KernelInceptionDistance(
            PassThrough(samples_BF.shape[1]), subsets=subsets, subset_size=subset_size, sync_on_compute=False
        )
    metric.update(references_RF.double(), real=True)
    metric.update(samples_BF.double(), real=False)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        mean, spread = metric.compute()
    return float(mean), float(spread)


def _refuse(samples_BF: Tensor, references_RF: Tensor) -> None:
    if min(len(samples_BF), len(references_RF)) < 2:
        raise ValueError(f"{len(samples_BF)} samples and {len(references_RF)} images are too few: two of each at least")
    if not (samples_BF.isfinite().all() and references_RF.isfinite().all()):
        raise ValueError("some features are not finite: the samples, or the weights of the extractor, are not")


@dataclass(frozen=True)
class Distance:
    """A FID or a KID with everything that it depends on; as text, it is one line that holds all of it.

    Args:
        name: FID or KID.
        value: the number.
        samples: how many.
        kind: what the samples are.
        references: how many images they are compared with.
        split: which images.
        extractor: name of the network that the features are of.
        hash: of its weights.
        num_features: how many features.
        spread: standard deviation over subsets (KID).
        subsets: how many (KID).
        subset_size: of each (KID).
    """

    name: str
    value: float
    samples: int
    kind: str
    references: int
    split: str
    extractor: str
    hash: str
    num_features: int
    spread: float | None = None
    subsets: int = 0
    subset_size: int = 0

    def __str__(self) -> str:
        """Return the number and all facts."""
        spread = "" if self.spread is None else f" (s.d. {self.spread:.2g})"
        return f"{self.name} {self.value:.4g}{spread}: {self.facts()}"

    def by_metric(self, name: str) -> dict[str, float]:
        """Return the distance under a name and its spread, where it has one, under <name>_sd."""
        return {name: self.value, **({} if self.spread is None else {f"{name}_sd": self.spread})}

    def facts(self) -> str:
        """Return what the number depends on."""
        subsets = "" if self.spread is None else f"; mean over {self.subsets} subsets of {self.subset_size:,}"
        return (
            f"{self.samples:,} {self.kind} against {self.references:,} clean 8-bit images of the {self.split} split; "
            f"{self.num_features:,} features of {self.extractor}, hash {self.hash}{subsets}"
        )
