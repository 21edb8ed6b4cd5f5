"""Sample quality: FID and KID of a model's samples, and the distance of their mean colours."""

from typing import Any, final

import torch
from torch import Tensor

from scorewise.capabilities import ConditionalScoreModel, ScoreModel
from scorewise.data.datamodule import Batch
from scorewise.data.roots import cache_root
from scorewise.data.source import SPLITS, Source, Split
from scorewise.heads.model import Model
from scorewise.objectives.objective import Objective
from scorewise.quality import ExtractorStore, ReferenceImages, describe, draw, eight_bits, meanings, metric_values
from scorewise.tasks.optimisation import Optimisation
from scorewise.tasks.score_task import ScoreTask


@final
class SampleQuality(ScoreTask):
    """How good samples of a model are, as numbers.

    Test metrics: fid and kid of the samples against all clean images of a split, both as bytes, kid with its standard
    deviation over subsets; and, of RGB images, mean_colour, the distance of their mean colours. The same of as many
    images of another split (_floor) and of independent Gaussian pixels (_pixels). Samples are drawn in chunks whose
    random numbers depend on the seed and their place alone.

    Args:
        model, objective, optimisation, source, smoothing, seed, monitor: see `ScoreTask`.
        samples: how many.
        batch: how many are drawn together.
        split: whose images are the reference.
        extractor: see `ExtractorStore.take`.
        denoise: whether the noise of the modelled law is taken away by x + sigma^2 s(x); of models of clean images
            there is none.
        subsets: of KID.
        subset_size: of each, at most half of the smaller set.
        shown: samples in the picture.
        cache: folder that holds features/ with extractors; None: $SCOREWISE_CACHE or the user's cache folder.

    Raises:
        ValueError: a number out of range, data that are no images, or a model without a score to denoise with.
        UserError: there is no such extractor.
    """

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
        samples: int = 2000,
        batch: int = 500,
        split: Split = "test",
        extractor: str | None = None,
        denoise: bool = True,
        subsets: int = 100,
        subset_size: int = 1000,
        shown: int = 64,
        cache: str | None = None,
    ) -> None:
        super().__init__(model, objective, optimisation, source, smoothing=smoothing, seed=seed, monitor=monitor)
        if len(source.shape) != 3:
            raise ValueError(f"examples of shape {list(source.shape)} are no images")
        if sentence := self.refusal(type(model), split=split):
            raise ValueError(sentence)
        if denoise and model.noise and not isinstance(model, ConditionalScoreModel | ScoreModel):
            raise ValueError(f"{type(model).__name__} has no score to denoise with: use task.denoise=false")
        self.samples, self.batch, self.denoise, self.shown = samples, batch, denoise, shown
        network = ExtractorStore(cache_root(cache) / "features").take(extractor, source)
        # Not a module of this one: it is no part of what is trained and saved.
        self._comparison = ReferenceImages(network, source, split, subsets, subset_size, seed)
        self._kind = describe(model, denoise)
        self._shown: dict[str, Tensor] = {}
        self._comparison.warn_if_few(samples)

    @classmethod
    def refusal(cls, head: type, *, split: str = "test", **settings: Any) -> str | None:
        """Return why samples of models of a head cannot be judged so, as one sentence, or None where they can."""
        return None if split in SPLITS else f"task.split={split} is none of {', '.join(SPLITS)}"

    @property
    def name(self) -> str:
        """What this test is called among others of the same model, for files."""
        noisy = "" if self.denoise or not self.model.noise else "-noisy"
        return f"sample_quality-{self.samples}-{self._comparison.split}-{self._comparison.extractor.hash}{noisy}"

    def on_test_start(self) -> None:
        """Forget an earlier test."""
        super().on_test_start()
        self._shown = {}

    def test_step(self, batch: Batch, batch_idx: int) -> None:
        """Do nothing: the samples are drawn once, and compared with the images of the source, at the end."""

    def on_test_epoch_end(self) -> None:
        """Draw the samples, compare them and log what was found."""
        self._comparison.extractor.to(self.device)
        x_BD = self._drawn()
        found = self._comparison.bounded(eight_bits(x_BD, self.source.shape), self._kind)
        for name, value in metric_values(found).items():
            self.log(f"test/{name}", value, sync_dist=True)
        index_B = torch.arange(min(self.shown, self.source.count(self._comparison.split)))
        self._shown = {
            self._kind.partition(", clamped")[0] + ")": x_BD[: self.shown],
            "data": self.source.examples(self._comparison.split, index_B, -1, self.seed),
        }

    def _drawn(self) -> Tensor:
        rank, world_size = self.trainer.global_rank, self.trainer.world_size
        x_BD = draw(self.model, self.samples, self.batch, self.seed, self.denoise, rank, world_size)
        return self.trainer.strategy.reduce(x_BD, reduce_op="sum").cpu()

    def panels(self) -> dict[str, Tensor]:
        """Return the first samples and as many images."""
        return self._shown

    def conventions(self) -> dict[str, str]:
        """Return what every number depends on: counts, split, extractor and its hash."""
        return meanings(self._comparison.conventions(self.samples, self._kind))
