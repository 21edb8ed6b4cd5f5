"""The quantities that outlier scores follow from, of the examples of a data set."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from scorewise.capabilities.roles import Scaled
from scorewise.data.source import Source, Split
from scorewise.heads.numerically_normalised import WithLikelihood
from scorewise.likelihood.likelihood import TailMass
from scorewise.noise import Draws
from scorewise.outliers.incomplete import as_if_whole
from scorewise.outliers.statistics import numerically_normalised, quantities

BATCH = 100


@dataclass(frozen=True)
class Examiner:
    """A model that looks at examples as its law has them: with the noise that it was trained on.

    Args:
        model: see `quantities`.
        noise: standard deviation of the noise that every example gets, whatever set it is from.
        seed: of that noise.
        likelihoods: of how many examples of a set a numerical likelihood is computed, at most; other quantities cost
            little.
        usual_D: what missing cells add to nll, see `usual_surprise`; None: the model takes none.

    Example:
        >>> import scorewise
        >>> from scorewise.data import Digits, Uniform
        >>> from scorewise.outliers import Examiner, detection
        >>> examiner = Examiner(scorewise.load("digits"), noise=0.3, seed=0, likelihoods=8)
        >>> inside = examiner.survey(Digits(), "test", "digits", ["nll"], 8)
        >>> outside = examiner.survey(Uniform((1, 8, 8)), "test", "uniform", ["nll"], 8)
        >>> detection(inside["nll"], outside["nll"])["auroc"]
        1.0
    """

    model: Scaled
    noise: float
    seed: int
    likelihoods: int
    usual_D: Tensor | None = None

    @property
    def normalised(self) -> WithLikelihood | None:
        """The model, if its likelihood is numerical."""
        return numerically_normalised(self.model)

    def most(self, quantity: str, images: int) -> int:
        """Return of how many examples a quantity is computed, at most."""
        costly = quantity == "nll" and self.normalised is not None
        return min(images, self.likelihoods) if costly else images

    def noisy(self, x_BD: Tensor, index_B: Tensor, label: str) -> Tensor:
        """Return examples with their noise, a function of seed, set and place, shape (B, D)."""
        if not self.noise:
            return x_BD
        draws = Draws.of(self.seed, -1, index_B).fork(f"outliers {label}")
        return x_BD + self.noise * draws.normal(x_BD.shape[1], dtype=x_BD.dtype)

    def look(
        self, x_BD: Tensor, index_B: Tensor, label: str, wanted: Collection[str], images: int
    ) -> dict[str, Tensor]:
        """Return the wanted quantities of one batch of clean examples, see `quantities`; of the first of a set only.

        Args:
            x_BD: clean examples.
            index_B: their places in the set.
            label: of the set.
            wanted: names of quantities.
            images: of the set that are looked at, at most.
        """
        x_BD = self.noisy(x_BD, index_B, label)
        found: dict[str, Tensor] = {}
        for some, most in _together({name: self.most(name, images) for name in wanted}):
            chosen_B = index_B < most
            if bool(chosen_B.any()):
                found |= self.quantities(x_BD[chosen_B], some)
        return found

    def quantities(self, x_BD: Tensor, wanted: Collection[str]) -> dict[str, Tensor]:
        """Return quantities of examples as they are, see `quantities`; nll as if rows were whole."""
        found = quantities(self.model, x_BD, wanted)
        return found | {name: as_if_whole(found[name], x_BD, self.usual_D) for name in ("nll",) if name in found}

    def survey(
        self,
        source: Source,
        split: Split,
        label: str,
        wanted: Collection[str],
        images: int,
        last: bool = False,
        tell: Callable[[float], None] | None = None,
    ) -> dict[str, Tensor]:
        """Return the wanted quantities of the first examples of a split of a data set, or of the last ones.

        Args:
            source: the data set.
            split: the part of it.
            label: of the set, see `noisy`.
            wanted: names of quantities.
            images: examples, at most.
            last: whether they are the last ones.
            tell: is told the share that is done, after every batch.
        """
        parts: dict[str, list[Tensor]] = {}
        device = self.model.mean.device
        count = source.count(split)
        places = self.places(source, split, images, last)
        for i, index_B in enumerate(places, 1):
            x_BD = source.examples(split, index_B, -1, self.seed).to(device)
            for name, value_B in self.look(x_BD, index_B.to(device), label, wanted, count if last else images).items():
                parts.setdefault(name, []).append(value_B.cpu())
            if tell is not None:
                tell(i / len(places))
        return {name: torch.cat(part) for name, part in parts.items()}

    def places(self, source: Source, split: Split, images: int, last: bool = False) -> Sequence[Tensor]:
        """Return the places of the examples that a survey looks at, batch by batch."""
        count = source.count(split)
        chosen_N = torch.arange(max(0, count - images), count) if last else torch.arange(min(images, count))
        parts: Sequence[Tensor] = chosen_N.split(BATCH)
        return parts

    def refusal(self, found: Mapping[str, Tensor]) -> str | None:
        """Return why in-distribution examples have no likelihood to report, or None where they have."""
        return refused_likelihood(self.model, found)


def refused_likelihood(model: object, found: Mapping[str, Tensor]) -> str | None:
    """Return why a model has no likelihood to report, or None where it has.

    Args:
        model: any; only a numerical likelihood can be refused.
        found: `quantities` of in-distribution examples.
    """
    numerical = numerically_normalised(model)
    if numerical is None or "outside" not in found:
        return None
    try:
        numerical.normaliser().refuse(numerical, found["outside"], torch.zeros_like(found["outside"]))
    except TailMass as error:
        return str(error).partition(": ")[2]
    return None


def _together(most: dict[str, int]) -> list[tuple[list[str], int]]:
    """Return the quantities that are computed of equally many examples, so that they share a pass."""
    return [([name for name in most if most[name] == count], count) for count in dict.fromkeys(most.values())]
