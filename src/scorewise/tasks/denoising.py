"""Denoising: corrupted images restored, beside what filters make of them."""

from collections.abc import Mapping
from typing import Any, ClassVar, final

import torch
from torch import Tensor
from torchmetrics.functional.image import peak_signal_noise_ratio, structural_similarity_index_measure

from scorewise import denoising
from scorewise.capabilities import (
    ClosedFormDensity,
    ConditionalSampler,
    ConditionalScoreModel,
    NoisyConditionalScoreModel,
    NoisyScoreModel,
    QuantileModel,
    ScoreModel,
)
from scorewise.data.datamodule import Batch
from scorewise.data.source import Source
from scorewise.denoising.filters import median_of_known
from scorewise.heads.model import Model
from scorewise.heads.numerically_normalised import NumericallyNormalised
from scorewise.noise import Draws
from scorewise.objectives.objective import Objective
from scorewise.tasks.optimisation import Optimisation
from scorewise.tasks.score_task import ScoreTask

CORRUPTIONS: Mapping[str, tuple[str, ...]] = {
    "gaussian": ("auto", "parallel", "sequential", "joint"),
    "salt_and_pepper": ("auto", "sequential", "joint"),
}
"""What images suffer, and the ways to restore them from it."""
MASKS = ("known", "blind")
NEIGHBOURS = 11
"""Width of the window of SSIM (Wang et al. 2004); smaller images have one of 7."""
EXACT = 100.0
"""PSNR of an image that is restored exactly, dB."""


def psnr(x_BD: Tensor, clean_BD: Tensor) -> Tensor:
    """Return 10 log10(4 / mean squared error) per image in dB, for the range [-1, 1], shape (B,); 100 at most."""
    if not len(x_BD):
        return x_BD.new_empty(0)
    found_B = peak_signal_noise_ratio(x_BD, clean_BD, data_range=2.0, reduction="none", dim=1)
    return torch.as_tensor(found_B).clamp(max=EXACT)


def ssim(x_BD: Tensor, clean_BD: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Return the structural similarity per image, Gaussian window, range 2, shape (B,) (Wang et al. 2004)."""
    if not len(x_BD):
        return x_BD.new_empty(0)
    found_B = structural_similarity_index_measure(
        x_BD.reshape(-1, *shape),
        clean_BD.reshape(-1, *shape),
        sigma=1.5 if min(shape[1:]) >= NEIGHBOURS else 0.75,
        data_range=2.0,
        reduction="none",
    )
    assert isinstance(found_B, Tensor)
    return found_B.reshape(-1)


def has_joint_score(head: type) -> bool:
    """Return whether models of a head have grad log q, by themselves or by a density that can be differentiated."""
    numerical = issubclass(head, NumericallyNormalised) and not issubclass(head, NoisyConditionalScoreModel)
    return numerical or issubclass(head, ScoreModel) or issubclass(head, ClosedFormDensity)


@final
class Denoising(ScoreTask):
    """Restoring corrupted images with a score model, and reporting how well.

    Test metrics, per image with standard errors: PSNR in dB (range 2) and SSIM of the corrupted image as it is, and,
    clamped to [-1, 1], of what the model, a 3 x 3 median filter and a 3 x 3 Wiener filter restore. With a known mask
    also of the median filter at lost pixels only, and of the median of their known neighbours. With a blind one the
    share of the pixels that are wrongly kept or taken.

    Args:
        model, objective, optimisation, source, smoothing, seed, monitor: see `ScoreTask`.
        corruption: gaussian (noise of a level that the model knows) or salt_and_pepper.
        mode: parallel (E[x_d | y_<=d] from noisy contexts), sequential (contexts from what is restored already), joint
            (grad log q, which sees the whole image); auto takes the one that the model was trained for.
        sigma: of the Gaussian noise; None: that of the law that the model was trained on.
        share: of the pixels that salt and pepper hits.
        mask: known, or blind where hit pixels must be found as well; of salt and pepper.
        steps: of the ascent that fills in lost pixels.
        jump: how far from its expected value a pixel at 1 or -1 is an outlier.
        draws: whose mean fills in a pixel in mode=sequential.
        images: of the test split that are restored, at most.
        shown: in the picture.

    Raises:
        ValueError: a number out of range, data that are no images, or a noise level that the model does not know.
    """

    heads: ClassVar[str] = "conditional_score, mixture, gaussian, score or energy"

    def __init__(
        self,
        model: Model,
        objective: Objective,
        optimisation: Optimisation,
        source: Source,
        *,
        smoothing: float,
        seed: int,
        monitor: str = "val/loss",
        corruption: str = "gaussian",
        mode: str = "auto",
        sigma: float | None = None,
        share: float = 0.1,
        mask: str = "known",
        steps: int = 10,
        jump: float = 0.8,
        draws: int = 16,
        images: int = 500,
        shown: int = 16,
    ) -> None:
        super().__init__(model, objective, optimisation, source, smoothing=smoothing, seed=seed, monitor=monitor)
        if sentence := self.refusal(type(model), corruption=corruption, mode=mode, mask=mask):
            raise ValueError(sentence)
        if len(source.shape) != 3 or min(source.shape[1:]) < 7:
            raise ValueError(f"examples of shape {list(source.shape)} are no images of at least 7 x 7 pixels")
        for name, value in {"steps": steps, "draws": draws, "images": images, "shown": shown}.items():
            if value < 1:
                raise ValueError(f"task.{name}={value} must be at least 1")
        if not 0 < share < 1 or not 0 < jump < 2:
            raise ValueError(f"task.share={share} must be between 0 and 1, and task.jump={jump} between 0 and 2")
        self.corruption, self.share, self.mask = corruption, share, mask
        self.steps, self.jump, self.draws, self.images, self.shown = steps, jump, draws, images, shown
        self.mode = self._automatic() if mode == "auto" else mode
        self.sigma = self._known_level(sigma) if corruption == "gaussian" else 0.0
        self._restored = 0
        self._shown: dict[str, Tensor] = {}

    @classmethod
    def refusal(
        cls, head: type, *, corruption: str = "gaussian", mode: str = "auto", mask: str = "known", **settings: Any
    ) -> str | None:
        """Return why models of a head cannot restore images in such a way, as one sentence, or None where they can."""
        if corruption not in CORRUPTIONS:
            return f"task.corruption={corruption} is none of {', '.join(CORRUPTIONS)}"
        if mode not in CORRUPTIONS[corruption]:
            return f"task.mode={mode} is none of {', '.join(CORRUPTIONS[corruption])}, the ways out of {corruption}"
        if mask not in MASKS:
            return f"task.mask={mask} is none of {', '.join(MASKS)}"
        of_levels = issubclass(head, NoisyConditionalScoreModel)
        if corruption == "gaussian":
            if mode == "sequential" and not of_levels:
                return (
                    f"task.mode=sequential gives restored pixels as context, and {head.__name__} is trained with joint "
                    "noise, on noisy ones: use task.mode=parallel, or train objective=csm_annealed"
                )
            if mode == "parallel" and not issubclass(head, ConditionalScoreModel):
                return f"task.mode=parallel needs conditional scores, and {head.__name__} has none: use task.mode=joint"
            if mode == "joint" and not has_joint_score(head):
                return (
                    f"task.mode=joint needs a joint score or a density that can be differentiated, and {head.__name__} "
                    f"has none: use task.mode={'sequential' if of_levels else 'auto'} or head={cls.heads}"
                )
            usable = of_levels or has_joint_score(head) or issubclass(head, ConditionalScoreModel)
            return (
                None if usable else f"task=denoising needs scores, and {head.__name__} has none: use head={cls.heads}"
            )
        if mode == "sequential":
            if mask == "blind":
                return "task.mask=blind needs what follows a pixel to judge it: use task.mode=joint"
            draws = issubclass(head, ConditionalSampler) or issubclass(head, QuantileModel)
            return None if draws else f"task.mode=sequential needs draws of conditionals, and {head.__name__} has none"
        if not has_joint_score(head):
            return (
                f"task.corruption=salt_and_pepper in task.mode={mode} needs a joint score or a density that can be "
                f"differentiated, and {head.__name__} has none: use head={cls.heads}, or task.mode=sequential with a "
                "known mask"
            )
        return None

    def _automatic(self) -> str:
        if self.corruption == "salt_and_pepper":
            return "joint"
        if isinstance(self.model, NoisyConditionalScoreModel):
            return "sequential"
        return "parallel" if isinstance(self.model, ConditionalScoreModel) else "joint"

    def _known_level(self, sigma: float | None) -> float:
        """Return the noise level to remove, one that the model was trained on."""
        model: Any = self.model
        of_levels = isinstance(model, NoisyConditionalScoreModel | NoisyScoreModel)
        low, high = (model.levels[-1], model.levels[0]) if of_levels else (model.noise, model.noise)
        if high <= 0:
            raise ValueError("this model was trained without noise and can remove none: train with data.smoothing=0.6")
        if sigma is None and of_levels:
            raise ValueError(f"task.sigma must be given, from {low:g} to {high:g}, the levels of this model")
        level = float(low if sigma is None else sigma)
        top = low if self.mode == "parallel" else high  # parallel: contexts are noisy, and were trained at one level
        if not low * (1 - 1e-6) <= level <= top * (1 + 1e-6):
            levels = f"{low:g}" if low == top else f"{low:g} to {top:g}"
            other = "; task.mode=sequential takes its higher levels" if top < high else ""
            raise ValueError(
                f"task.sigma={level:g} is not the noise that task.mode={self.mode} of this model was trained for, "
                f"which is {levels}{other}"
            )
        return level

    @property
    def name(self) -> str:
        """What this test is called among others of the same model, for files."""
        what = self.corruption if self.corruption == "gaussian" else f"{self.corruption}-{self.mask}"
        return f"denoising-{what}-{self.mode}"

    def restore(self, y_BD: Tensor, known_BD: Tensor | None = None) -> Tensor:
        """Return corrupted images restored, in [-1, 1], shape (B, D).

        Args:
            y_BD: corrupted images.
            known_BD: which entries salt and pepper did not hit; None: they are found.
        """
        model: Any = self.model
        if self.corruption == "gaussian":
            ways: dict[str, Any] = {
                "parallel": denoising.parallel,
                "sequential": denoising.sequential,
                "joint": denoising.joint,
            }
            x_BD: Tensor = ways[self.mode](model, y_BD, self.sigma).clamp(-1, 1)
            return x_BD
        shape = self.source.shape
        if known_BD is None:
            known_BD = ~denoising.impulse_mask(model, y_BD, shape, self.steps, self.jump)
        if self.mode == "joint":
            return denoising.infill(model, y_BD, known_BD, shape, self.steps)
        generator = torch.Generator().manual_seed(self.seed)
        return denoising.infill_in_order(model, y_BD, known_BD, self.draws, generator).clamp(-1, 1)

    def on_test_start(self) -> None:
        """Forget an earlier test."""
        super().on_test_start()
        self._restored, self._shown = 0, {}

    def test_step(self, batch: Batch, batch_idx: int) -> None:
        """Corrupt and restore the images of a batch, up to the number that is wanted in all."""
        left = max(1, self.images // self.trainer.world_size) - self._restored
        clean_BD, index_B, epoch_B = (part[: max(0, left)] for part in batch)
        if not len(clean_BD):
            return
        self._restored += len(clean_BD)
        shape, draws = self.source.shape, Draws.of(self.seed, epoch_B, index_B)
        tried: dict[str, Tensor] = {}
        if self.corruption == "gaussian":
            y_BD = denoising.gaussian(clean_BD, self.sigma, draws)
            tried["restored"] = self.restore(y_BD)
            tried["wiener"] = denoising.wiener(y_BD, shape, self.sigma)
        else:
            y_BD, hit_BD = denoising.salt_and_pepper(clean_BD, self.share, shape, draws)
            known_BD = ~hit_BD
            if self.mask == "blind":
                model: Any = self.model
                found_BD = denoising.impulse_mask(model, y_BD, shape, self.steps, self.jump)
                changed_BD = y_BD != clean_BD
                self.report("wrongly_kept", (changed_BD & ~found_BD).double().mean(-1))
                self.report("wrongly_taken", (~changed_BD & found_BD).double().mean(-1))
                known_BD = ~found_BD
            else:
                tried["median_at_lost"] = torch.where(hit_BD, denoising.median(y_BD, shape), y_BD)
                tried["neighbours"] = median_of_known(y_BD, known_BD, shape, float(self.model.mean))
            tried["restored"] = self.restore(y_BD, known_BD)
            tried["wiener"] = denoising.wiener(y_BD, shape, None)
        tried["median"] = denoising.median(y_BD, shape)
        tried = {"corrupted": y_BD, **{name: x_BD.clamp(-1, 1) for name, x_BD in tried.items()}}
        for name, x_BD in tried.items():
            self.report(f"psnr_{name}", psnr(x_BD, clean_BD))
            self.report(f"ssim_{name}", ssim(x_BD, clean_BD, shape))
        self._show({"corrupted": y_BD, "restored": tried["restored"], "clean": clean_BD})

    def _show(self, panels: Mapping[str, Tensor]) -> None:
        for label, x_BD in panels.items():
            before = self._shown.get(label, x_BD[:0])
            self._shown[label] = torch.cat([before, x_BD])[: self.shown]

    def panels(self) -> dict[str, Tensor]:
        """Return the first images: corrupted, restored and clean."""
        return self._shown

    def conventions(self) -> dict[str, str]:
        """Return what every metric means."""
        if self.corruption == "gaussian":
            corrupted = f"clean + N(0, {self.sigma:g}^2), not clamped"
        else:
            corrupted = f"{100 * self.share:g} % of the pixels at 1 or -1"
        ours = f"{type(self.model).__name__}, mode={self.mode}"
        ours = ours if self.corruption == "gaussian" else f"{ours}, mask {self.mask}"
        images = {
            "corrupted": corrupted,
            "restored": ours,
            "median": "median filter, 3 x 3",
            "wiener": "Wiener filter, 3 x 3" + (", noise given" if self.corruption == "gaussian" else ""),
            "median_at_lost": "median filter, 3 x 3, at lost pixels only",
            "neighbours": "lost pixels: median of their known neighbours",
        }
        return {
            **{f"psnr_{name}": f"dB, mean over images, range 2: {text}" for name, text in images.items()},
            **{f"ssim_{name}": f"mean over images: {text}" for name, text in images.items()},
            "wrongly_kept": "share of entries that were changed and not found",
            "wrongly_taken": "share of entries that were not changed and taken for outliers",
        }

    def predict_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Return the images restored, taken as they are; the pixels that salt and pepper hit are found."""
        return self.restore(batch.x_BD)
