"""Where trained feature extractors are kept."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from scorewise.data.source import Labelled, Source
from scorewise.errors import UserError
from scorewise.quality.classifier import CONFIG, ClassifierFeatures
from scorewise.quality.extractor import FeatureExtractor
from scorewise.quality.inception import InceptionFeatures, find_weights


class ExtractorStore:
    """A folder of feature extractors, each in a folder <data>-<hash> of its own.

    Args:
        folder: which need not be there yet.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> from scorewise.quality import ClassifierFeatures, ExtractorStore
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     store = ExtractorStore(Path(folder))
        ...     trained = store.put("photos", ClassifierFeatures.random((1, 8, 8)), {"seed": 0})
        ...     trained.name, store.newest("photos").name
        ('photos-47465098', 'untrained-cnn')
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def put(self, data: str, extractor: ClassifierFeatures, facts: Mapping[str, Any]) -> Path:
        """Return where a trained extractor was saved.

        Args:
            data: the name of the data set.
            extractor: trained.
            facts: how, plain values.
        """
        return extractor.save(self.folder / f"{data}-{extractor.hash}", {"data": data, **facts})

    def newest(self, data: str) -> ClassifierFeatures | None:
        """Return the extractor that was saved last for a data set, or None.

        Raises:
            UserError: it is damaged.
        """
        saved = list(self.folder.glob(f"{data}-????????/{CONFIG}"))
        if not saved:
            return None
        return ClassifierFeatures.load(max(saved, key=lambda path: path.stat().st_mtime_ns).parent)

    def take(self, choice: str | None, source: Source, setting: str = "task.extractor") -> FeatureExtractor:
        """Return the extractor that a user chose for the images of a data set.

        Args:
            choice: a folder of a saved one, inception, untrained, or None for the newest one of the data set.
            source: the data set.
            setting: that says the choice, for sentences.

        Raises:
            UserError: there is none, or it does not fit.
        """
        extractor = self._chosen(choice, source, setting)
        if reason := extractor.refusal(source.shape):
            raise UserError(f"{reason}: give another {setting}, or inception.")
        return extractor

    def _chosen(self, choice: str | None, source: Source, setting: str) -> FeatureExtractor:
        if choice == "inception":
            return InceptionFeatures(find_weights(self.folder))
        if choice == "untrained":
            return ClassifierFeatures.random(source.shape)
        if choice is not None:
            return ClassifierFeatures.load(Path(choice))
        if not isinstance(source, Labelled):
            raise UserError(
                "this data has no labels, so there is no classifier of it whose features could be compared: use "
                f"{setting}=inception, untrained, or the folder of one for images of the same shape."
            )
        if newest := self.newest(source.name):
            return newest
        raise UserError(
            f"there is no feature extractor for {source.name} in {self.folder}: make one with make features "
            f"DATA={source.name} (python src/features.py data={source.name}), or use {setting}=inception."
        )
