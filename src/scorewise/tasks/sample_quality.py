"""Sample quality: FID and KID of a model's samples, and the distance of their mean colours."""

from dataclasses import dataclass
from typing import Annotated, Any, final

import torch
from torch import Tensor

from scorewise.capabilities import BlockScoreModel, ConditionalScoreModel, ScoreModel, Watched
from scorewise.data.datamodule import Batch
from scorewise.data.roots import cache_root
from scorewise.data.source import SPLITS, Source, Split
from scorewise.quality import ExtractorStore, ReferenceImages, describe, draw, eight_bits, meanings, metric_values
from scorewise.ranges import AtLeast, Count, Place, within_ranges
from scorewise.tasks.report import Report
from scorewise.tasks.score_task import ScoreBundle, ScoreTask


@within_ranges
@dataclass(frozen=True)
class ComparedWith:
    """The images that samples are compared with, and the features that are compared.

    Args:
        split: whose images, all of them.
        extractor: of features, see `ExtractorStore.take`.
        subsets: of KID.
        subset_size: of each, at most half of the smaller set.
        cache: folder that holds features/ with extractors; None: $SCOREWISE_CACHE or the user's cache folder.
    """

    split: Split = "test"
    extractor: Place | None = None
    subsets: Count = 100
    subset_size: Annotated[int, AtLeast(2)] = 1000
    cache: str | None = None

    def images_of(self, source: Source, seed: int) -> ReferenceImages:
        """Return the images of a data set with their features; nothing is read yet.

        Raises:
            UserError: there is no such extractor.
        """
        network = ExtractorStore(cache_root(self.cache) / "features").take(self.extractor, source)
        return ReferenceImages(network, source, self.split, self.subsets, self.subset_size, seed)


TEST_IMAGES = ComparedWith()


@final
class SampleQuality(ScoreTask):
    """How good samples of a model are, as numbers.

    Test metrics: fid and kid of the samples against all clean images of a split, both as bytes, kid with its standard
    deviation over subsets; and, of RGB images, mean_colour, the distance of their mean colours. The same of as many
    images of another split (_floor) and of independent Gaussian pixels (_pixels). Samples are drawn in chunks whose
    random numbers depend on the seed and their place alone.

    Args:
        bundle: model, objective, optimisation, data and seed.
        compared_with: the images, and what of them.
        samples: how many.
        batch: how many are drawn together.
        denoise: whether the noise of the modelled law is taken away by x + sigma^2 s(x); of models of clean images
            there is none.
        shown: samples in the picture.

    Raises:
        ValueError: a number out of range, data that are no images, or a model without a score to denoise with.
        UserError: there is no such extractor.
    """

    one_by_one = False

    @within_ranges
    def __init__(
        self,
        bundle: ScoreBundle,
        *,
        compared_with: ComparedWith = TEST_IMAGES,
        samples: Annotated[int, AtLeast(4)] = 2000,
        batch: Count = 500,
        denoise: bool = True,
        shown: Count = 64,
    ) -> None:
        super().__init__(bundle)
        model, source = bundle.model, bundle.source
        if len(source.shape) != 3:
            raise ValueError(f"examples of shape {list(source.shape)} are no images")
        if sentence := self.refusal(type(model), split=compared_with.split):
            raise ValueError(sentence)
        if denoise and model.noise and not isinstance(model, BlockScoreModel | ConditionalScoreModel | ScoreModel):
            raise ValueError(f"{type(model).__name__} has no score to denoise with: use task.denoise=false")
        self.samples, self.batch, self.denoise, self.shown = samples, batch, denoise, shown
        # Not a module of this one: it is no part of what is trained and saved.
        self._images = compared_with.images_of(source, self.seed)
        self._kind = describe(model, denoise)
        self._panels: dict[str, Tensor] = {}
        self._images.warn_if_few(samples)

    @classmethod
    def refusal(cls, head: type, *, split: str = "test", **settings: Any) -> str | None:
        """Return why samples of models of a head cannot be judged so, as one sentence, or None where they can."""
        return None if split in SPLITS else f"task.split={split} is none of {', '.join(SPLITS)}"

    @property
    def name(self) -> str:
        """What this test is called among others of the same model, for files."""
        noisy = "" if self.denoise or not self.model.noise else "-noisy"
        return f"sample_quality-{self.samples}-{self._images.split}-{self._images.extractor.hash}{noisy}"

    @property
    def watched(self) -> Watched | None:
        """The sampler, where it tells how far it is."""
        return self.model.sampler if isinstance(self.model.sampler, Watched) else None

    def on_test_start(self) -> None:
        """Forget an earlier test."""
        super().on_test_start()
        self._panels = {}

    def test_step(self, batch: Batch, batch_idx: int) -> None:
        """Do nothing: the samples are drawn once, and compared with the images of the source, at the end."""

    def on_test_epoch_end(self) -> None:
        """Draw the samples, compare them and log what was found."""
        self._images.extractor.to(self.device)
        x_BD = self._drawn()
        distances = self._images.bounded(eight_bits(x_BD, self.source.shape), self._kind)
        for name, value in metric_values(distances).items():
            self.log(f"test/{name}", value, sync_dist=True)
        index_B = torch.arange(min(self.shown, self.source.count(self._images.split)))
        self._panels = {
            self._kind.partition(", clamped")[0] + ")": x_BD[: self.shown],
            "data": self.source.examples(self._images.split, index_B, -1, self.seed),
        }

    def _drawn(self) -> Tensor:
        rank, world_size = self.trainer.global_rank, self.trainer.world_size
        x_BD = draw(self.model, self.samples, self.batch, self.seed, self.denoise, rank, world_size)
        return self.trainer.strategy.reduce(x_BD, reduce_op="sum").cpu()

    def found(self) -> Report:
        """Return the first samples and as many images."""
        return Report(panels=self._panels)

    def conventions(self) -> dict[str, str]:
        """Return what every number depends on: counts, split, extractor and its hash."""
        return meanings(self._images.conventions(self.samples, self._kind))
