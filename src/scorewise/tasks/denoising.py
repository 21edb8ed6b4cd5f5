"""Denoising: corrupted images restored, beside what filters make of them."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, final

import torch
from torch import Tensor
from torchmetrics.functional.image import peak_signal_noise_ratio, structural_similarity_index_measure

from scorewise.data.datamodule import Batch
from scorewise.noise import Draws
from scorewise.ranges import Count, within_ranges
from scorewise.tasks.report import Report
from scorewise.tasks.restoration import Damage, Infilling, Restoration
from scorewise.tasks.restored_images import RestoredImages
from scorewise.tasks.restoring_means import refusal
from scorewise.tasks.score_task import ScoreBundle, ScoreTask

NEIGHBOURS = 11
"""Width of the window of SSIM (Wang et al. 2004); smaller images have one of 7."""
USUAL_DAMAGE, USUAL_INFILLING = Damage(), Infilling()
OF_NOISE, OF_HITS = ("sigma",), ("share", "mask", "steps", "jump", "draws")
"""Settings of Gaussian noise, and of salt and pepper."""
OTHER = {"gaussian": "salt_and_pepper", "salt_and_pepper": "gaussian"}
EXACT = 100.0
"""PSNR of an image that is restored exactly, dB."""


def _without_effect(corruption: str, mode: str, settings: Mapping[str, Any]) -> str | None:
    """Return why a setting that is not at its usual value changes nothing, as one sentence, or None."""
    usual = asdict(USUAL_DAMAGE) | asdict(USUAL_INFILLING)
    gaussian = corruption == "gaussian"
    where = dict.fromkeys(OF_HITS if gaussian else OF_NOISE, f"task.corruption={corruption}")
    if not gaussian and mode != "sequential":
        where["draws"] = f"task.mode={mode}"
    for name, without in where.items():
        if (value := settings.get(name, usual[name])) != usual[name]:
            other = "mode=sequential" if name == "draws" and not gaussian else f"corruption={OTHER[corruption]}"
            return f"task.{name}={value} has no effect with {without}: leave it out, or use task.{other}"
    return None


def psnr(x_BD: Tensor, clean_BD: Tensor) -> Tensor:
    """Return 10 log10(4 / mean squared error) per image in dB, for the range [-1, 1], shape (B,); 100 at most."""
    if not len(x_BD):
        return x_BD.new_empty(0)
    found_B = peak_signal_noise_ratio(x_BD, clean_BD, data_range=2.0, reduction="none", dim=1)
    return torch.as_tensor(found_B).clamp(max=EXACT)


def ssim(x_BD: Tensor, clean_BD: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Return the structural similarity per image, Gaussian window, shape (B,) (Wang et al. 2004, eq. 13).

    Of intensities from 0 to 1: its term of luminance compares means, which a shift to [-1, 1] would change.
    """
    if not len(x_BD):
        return x_BD.new_empty(0)
    found_B = structural_similarity_index_measure(
        (0.5 + 0.5 * x_BD.double()).reshape(-1, *shape),
        (0.5 + 0.5 * clean_BD.double()).reshape(-1, *shape),
        sigma=1.5 if min(shape[1:]) >= NEIGHBOURS else 0.75,
        data_range=1.0,
        reduction="none",
    )
    return torch.as_tensor(found_B).reshape(-1)


@final
class Denoising(ScoreTask):
    """Restoring corrupted images with a score model, and reporting how well.

    Test metrics, per image with standard errors: PSNR in dB (range 2) and SSIM of the corrupted image as it is, and,
    clamped to [-1, 1], of what the model, a 3 x 3 median filter and a 3 x 3 Wiener filter restore. With a known mask
    also of the median filter at lost pixels only, and of the median of their known neighbours. With a blind one the
    share of the pixels that are wrongly kept or taken.

    Args:
        bundle: model, objective, optimisation, data and seed.
        damage: what is done to the images.
        infilling: how lost pixels are found and filled in.
        mode: parallel, sequential, joint or auto, see `Restoration`.
        images: of the test split that are restored, at most.
        shown: in the picture.

    Raises:
        ValueError: a number out of range, data that are no images, or a noise level that the model does not know.
    """

    @within_ranges
    def __init__(
        self,
        bundle: ScoreBundle,
        *,
        damage: Damage = USUAL_DAMAGE,
        infilling: Infilling = USUAL_INFILLING,
        mode: str = "auto",
        images: Count = 500,
        shown: Count = 16,
    ) -> None:
        super().__init__(bundle)
        shape = bundle.source.shape
        if len(shape) != 3 or min(shape[1:]) < 7:
            raise ValueError(f"examples of shape {list(shape)} are no images of at least 7 x 7 pixels")
        self.images, self.shown = images, shown
        self.restoration = Restoration(bundle.model, shape, damage, infilling, mode)
        self._panels: dict[str, Tensor] = {}

    @classmethod
    def refusal(
        cls, head: type, *, corruption: str = "gaussian", mode: str = "auto", mask: str = "known", **settings: Any
    ) -> str | None:
        """Return why models of a head cannot restore images in such a way, as one sentence, or None where they can."""
        return refusal(head, corruption, mode, mask) or _without_effect(corruption, mode, {"mask": mask, **settings})

    @property
    def name(self) -> str:
        """What this test is called among others of the same model, for files."""
        return self.restoration.name

    @property
    def prediction(self) -> RestoredImages:
        """A user's images restored."""
        return RestoredImages(self.restoration, self.seed)

    def on_test_start(self) -> None:
        """Forget an earlier test."""
        super().on_test_start()
        self._panels = {}

    def test_step(self, batch: Batch, batch_idx: int) -> None:
        """Corrupt and restore the images of a batch, up to the number that is wanted in all."""
        wanted = int((batch.index_B < self.images).sum())  # by places, so that several processes restore the same ones
        clean_BD, index_B, epoch_B = (part[:wanted] for part in batch)
        if not wanted:
            return
        observed = self.restoration.observe(clean_BD, Draws.of(self.seed, epoch_B, index_B))
        for name, share_B in observed.shares.items():
            self.collect(name, share_B, index_B)
        for name, x_BD in observed.images.items():
            self.collect(f"psnr_{name}", psnr(x_BD, clean_BD), index_B)
            self.collect(f"ssim_{name}", ssim(x_BD, clean_BD, self.source.shape), index_B)
        self._show({**{name: observed.images[name] for name in ("corrupted", "restored")}, "clean": clean_BD})

    def _show(self, panels: Mapping[str, Tensor]) -> None:
        for label, x_BD in panels.items():
            before = self._panels.get(label, x_BD[:0])
            self._panels[label] = torch.cat([before, x_BD])[: self.shown]

    def found(self) -> Report:
        """Return the first images: corrupted, restored and clean."""
        return Report(panels=self._panels)

    def conventions(self) -> dict[str, str]:
        """Return what every metric means."""
        images = self.restoration.describe()
        return {
            **{
                f"psnr_{name}": f"dB, mean over images, range 2, {EXACT:g} where exact: {text}"
                for name, text in images.items()
            },
            **{f"ssim_{name}": f"mean over images, in [0, 1]: {text}" for name, text in images.items()},
            "wrongly_kept": "share of entries that were changed and not found",
            "wrongly_taken": "share of entries that were not changed and taken for outliers",
        }
