"""Corrupted images and the ways to restore them with a score model."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, NamedTuple, Protocol, cast

import torch
from torch import Tensor

from scorewise import denoising
from scorewise.capabilities import BlockScoreModel, NoisyBlockScoreModel, NoisyConditionalScoreModel, NoisyScoreModel
from scorewise.denoising.filters import median_of_known
from scorewise.heads.model import Model
from scorewise.noise import Draws, OfRows
from scorewise.ranges import Between, Count, within_ranges
from scorewise.tasks.restoring_means import Means, refusal

GAUSSIAN_WAYS: Mapping[str, Callable[[Any, Tensor, float], Tensor]] = {
    "parallel": denoising.parallel,
    "sequential": denoising.sequential,
    "joint": denoising.joint,
}
"""How Gaussian noise of a known level is removed."""
IN_BLOCKS: Mapping[str, Callable[[Any, Tensor, float], Tensor]] = {
    "parallel": denoising.parallel_blocks,
    "sequential": denoising.sequential_blocks,
}
"""The same of models of blocks."""
LADDERS = (NoisyConditionalScoreModel, NoisyBlockScoreModel, NoisyScoreModel)
"""Models of several noise levels, which they have in order, the largest first."""


class HasLevels(Protocol):
    """A model of several noise levels."""

    levels: tuple[float, ...]


@within_ranges
@dataclass(frozen=True)
class Damage:
    """What is done to clean images.

    Args:
        corruption: gaussian (noise of a level that the model knows) or salt_and_pepper.
        sigma: of the Gaussian noise; None: that of the law that the model was trained on.
        share: of the pixels that salt and pepper hits.
        mask: known, or blind where hit pixels must be found as well; of salt and pepper.

    Raises:
        ValueError: a share that is none.
    """

    corruption: str = "gaussian"
    sigma: float | None = None
    share: Annotated[float, Between(0, 1, without=("low", "high"))] = 0.1
    mask: str = "known"


@within_ranges
@dataclass(frozen=True)
class Infilling:
    """How lost pixels are found and filled in.

    Args:
        steps: of the ascent on log q.
        jump: how far from its expected value a pixel at 1 or -1 is an outlier.
        draws: whose mean fills in a pixel in mode=sequential.

    Raises:
        ValueError: a number out of range.
    """

    steps: Count = 10
    jump: Annotated[float, Between(0, 2, without=("low", "high"))] = 0.8
    draws: Count = 16


class Observed(NamedTuple):
    """Corrupted images and what became of them.

    Args:
        images: by name: corrupted as they are; restored by the model and by filters, clamped to [-1, 1].
        shares: further numbers per image, each (B,).
    """

    images: Mapping[str, Tensor]
    shares: Mapping[str, Tensor]


class Restoration:
    """A model that restores images from one kind of damage in one way.

    Args:
        model: with the means that the way takes, see `refusal`.
        shape: of an image.
        damage: what images suffer.
        infilling: how lost pixels are found and filled in.
        mode: parallel (E[x_d | y_<=d] from noisy contexts; of blocks E[x_k | y_<=k]), sequential (contexts from what is
            restored already), joint (grad log q, which sees the whole image); auto takes the one that the model was
            trained for.

    Raises:
        ValueError: a way that the model has no means for, or a noise level that it does not know.
    """

    def __init__(self, model: Model, shape: tuple[int, ...], damage: Damage, infilling: Infilling, mode: str) -> None:
        if sentence := refusal(type(model), damage.corruption, mode, damage.mask):
            raise ValueError(sentence)
        self.model, self.shape, self.damage, self.infilling = model, shape, damage, infilling
        self._able: Any = model  # it has the means of its way, or there had been a refusal
        self.gaussian = damage.corruption == "gaussian"
        self.mode = self._automatic() if mode == "auto" else mode
        self.sigma = self._known_level(damage.sigma) if self.gaussian else 0.0

    def _automatic(self) -> str:
        means = Means.of(type(self.model))
        if not self.gaussian:
            return "joint"
        return "sequential" if means.ladder else "parallel" if means.conditional else "joint"

    def _known_level(self, sigma: float | None) -> float:
        """Return the noise level to remove, one that the model was trained on."""
        several = isinstance(self.model, LADDERS)
        levels = cast(HasLevels, self.model).levels if several else (self.model.noise,)
        low, high = levels[-1], levels[0]
        if high <= 0:
            raise ValueError("this model was trained without noise and can remove none: train with data.smoothing=0.6")
        if sigma is None and several:
            raise ValueError(f"task.sigma must be given, from {low:g} to {high:g}, the levels of this model")
        level = float(low if sigma is None else sigma)
        top = low if self.mode == "parallel" else high  # parallel: contexts are noisy, and were trained at one level
        if not low * (1 - 1e-6) <= level <= top * (1 + 1e-6):
            known = f"{low:g}" if low == top else f"{low:g} to {top:g}"
            other = "; task.mode=sequential takes its higher levels" if top < high else ""
            raise ValueError(
                f"task.sigma={level:g} is not the noise that task.mode={self.mode} of this model was trained for, "
                f"which is {known}{other}"
            )
        return level

    @property
    def name(self) -> str:
        """The damage and the way, for the names of files."""
        damage = self.damage
        what = damage.corruption if self.gaussian else f"{damage.corruption}-{damage.mask}"
        return f"denoising-{what}-{self.mode}"

    def restore(self, y_BD: Tensor, draws: Draws, known_BD: Tensor | None = None) -> Tensor:
        """Return corrupted images restored, in [-1, 1], shape (B, D).

        Args:
            y_BD: corrupted images.
            draws: of these images, for pixels that are drawn.
            known_BD: which entries salt and pepper did not hit; None: they are found.
        """
        if self.gaussian:
            blocks = isinstance(self.model, BlockScoreModel | NoisyBlockScoreModel)
            ways = IN_BLOCKS if blocks else GAUSSIAN_WAYS
            return ways[self.mode](self._able, y_BD, self.sigma).clamp(-1, 1)
        known_BD = ~self._outliers(y_BD) if known_BD is None else known_BD
        if self.mode == "joint":
            return denoising.infill(self._able, y_BD, known_BD, self.shape, self.infilling.steps)
        generator = OfRows(draws.fork("infill"))
        return denoising.infill_in_order(self._able, y_BD, known_BD, self.infilling.draws, generator).clamp(-1, 1)

    def _outliers(self, y_BD: Tensor) -> Tensor:
        found_BD: Tensor = denoising.impulse_mask(
            self._able, y_BD, self.shape, self.infilling.steps, self.infilling.jump
        )
        return found_BD

    def observe(self, clean_BD: Tensor, draws: Draws) -> Observed:
        """Return clean images corrupted, and restored by the model and by filters.

        Args:
            clean_BD: images in [-1, 1].
            draws: of these images.
        """
        y_BD, tried, shares = (self._of_noise if self.gaussian else self._of_hits)(clean_BD, draws)
        tried["median"] = denoising.median(y_BD, self.shape)
        return Observed({"corrupted": y_BD, **{name: x_BD.clamp(-1, 1) for name, x_BD in tried.items()}}, shares)

    def _of_noise(self, clean_BD: Tensor, draws: Draws) -> tuple[Tensor, dict[str, Tensor], dict[str, Tensor]]:
        y_BD = denoising.gaussian(clean_BD, self.sigma, draws)
        wiener_BD = denoising.wiener(y_BD, self.shape, self.sigma)
        return y_BD, {"restored": self.restore(y_BD, draws), "wiener": wiener_BD}, {}

    def _of_hits(self, clean_BD: Tensor, draws: Draws) -> tuple[Tensor, dict[str, Tensor], dict[str, Tensor]]:
        y_BD, hit_BD = denoising.salt_and_pepper(clean_BD, self.damage.share, self.shape, draws)
        tried, shares, known_BD = {}, {}, ~hit_BD
        if self.damage.mask == "blind":
            found_BD, changed_BD = self._outliers(y_BD), y_BD != clean_BD
            shares["wrongly_kept"] = (changed_BD & ~found_BD).double().mean(-1)
            shares["wrongly_taken"] = (~changed_BD & found_BD).double().mean(-1)
            known_BD = ~found_BD
        else:
            tried["median_at_lost"] = torch.where(hit_BD, denoising.median(y_BD, self.shape), y_BD)
            tried["neighbours"] = median_of_known(y_BD, known_BD, self.shape, float(self.model.mean))
        tried["restored"] = self.restore(y_BD, draws, known_BD)
        tried["wiener"] = denoising.wiener(y_BD, self.shape, None)
        return y_BD, tried, shares

    def describe(self) -> dict[str, str]:
        """Return what every kind of image is, by its name."""
        ours = f"{type(self.model).__name__}, mode={self.mode}"
        if self.gaussian:
            corrupted = f"clean + N(0, {self.sigma:g}^2), not clamped"
        else:
            corrupted = f"{100 * self.damage.share:g} % of the pixels at 1 or -1"
            ours = f"{ours}, mask {self.damage.mask}"
        return {
            "corrupted": corrupted,
            "restored": ours,
            "median": "median filter, 3 x 3",
            "wiener": "Wiener filter, 3 x 3" + (", noise given" if self.gaussian else ""),
            "median_at_lost": "median filter, 3 x 3, at lost pixels only",
            "neighbours": "lost pixels: median of their known neighbours",
        }
