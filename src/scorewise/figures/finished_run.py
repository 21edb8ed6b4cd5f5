"""A finished training of a figure, read from its run folder."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from hydra import compose as hydra_compose

from scorewise import catalog
from scorewise.config import choices
from scorewise.config.identity import plain
from scorewise.data.roots import cache_root
from scorewise.figures.kept_seeds import KeptSeed, NotKept
from scorewise.quality import ExtractorStore, FeatureExtractor
from scorewise.run.folder import RunFolder
from scorewise.store import load
from scorewise.tracking import console


@dataclass(frozen=True)
class FinishedRun:
    """A finished training, as figures see it.

    Args:
        seed: of the training.
        folder: of the run.
        config: as settled.
        kept: what is left of one whose folder is not here.
        features: the folder of trained feature extractors; None: beside the runs.
    """

    seed: int
    folder: RunFolder
    config: dict[str, Any]
    kept: KeptSeed | None = None
    features: Path | None = None

    @cached_property
    def summary(self) -> Mapping[str, Any]:
        """Its summary.json."""
        return self.kept.summary if self.kept else self.folder.summary()

    @property
    def path(self) -> Path:
        """Its folder.

        Raises:
            NotKept: it is not here, and what is asked of it was not kept.
        """
        if self.kept:
            raise NotKept(self.kept)
        return self.folder.path

    @cached_property
    def curves(self) -> Mapping[str, Sequence[tuple[int, float]]]:
        """Its metrics by name, as (step, value)."""
        from scorewise.tracking.metrics_table import (
            read_metrics,  # Lightning takes seconds, and some figures train nothing
        )

        return read_metrics(self.path / "metrics.csv")

    @property
    def model(self) -> Any:
        """The trained model, of the class that the figure's config asks for."""
        return load(self.path)

    @property
    def untrained(self) -> Any:
        """A model of the same config before its first step: for what does not depend on weights."""
        from scorewise.config import build  # the network library, and some figures train nothing

        return build.build(self.config, self.seed).model

    @property
    def source(self) -> Any:
        """Its data set, of the class that the figure's config asks for."""
        source = choices.build_source(self.config)
        source.prepare()
        return source

    def tested(self, *words: str) -> Mapping[str, float]:
        """Return the held-out numbers under another task, given as src/eval.py takes it."""
        from scorewise.run import evaluation  # Lightning again

        config = plain(hydra_compose("eval", ["run=.", *words]))
        return evaluation.evaluate({**config, "run": str(self.path)})[0]

    def extractor(self, choice: str | None, epochs: int | None = None) -> FeatureExtractor:
        """Return a feature extractor for its data set: inception, untrained, or one that is kept, see `features`.

        Args:
            choice: see `ExtractorStore.take`; None: a classifier of the data set, trained where there is none yet.
            epochs: of that training; None: as many as the features command takes.

        Raises:
            UserError: data without labels, or what the data set refuses.
        """
        source = self.source
        if choice is not None:
            return ExtractorStore(cache_root(self.config["paths"]["cache"]) / "features").take(choice, source)
        place = self.features or self.folder.path.parents[1] / "features"
        if newest := ExtractorStore(place).newest(source.name):
            return newest
        if self.features and (beside := ExtractorStore(self.folder.path.parents[1] / "features").newest(source.name)):
            ExtractorStore(self.features).put(source.name, beside, {"made": "for an earlier call of the figure"})
            return beside
        from scorewise.run import features  # Lightning again

        option = catalog.option_name("data", self.config["data"]["_target_"])
        config = plain(hydra_compose("features", [f"data={option}"]))
        config["data"] |= {key: self.config["data"][key] for key in ("root", "cache") if key in self.config["data"]}
        if epochs is not None:
            config["trainer"]["max_epochs"] = epochs
        made = features.train_extractor(config, place)
        console.say(f"  {made.folder}: {100 * made.accuracy:.1f} % of {made.images:,} test images")
        return made.extractor
