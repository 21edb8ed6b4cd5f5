"""A run as TensorBoard shows it."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, final

import yaml
from torch import Tensor
from torch.utils.tensorboard import SummaryWriter

from scorewise.tracking.tracker import Label, Tracker, sheltered


@final
class TensorBoard(Tracker):
    """Event files in a run folder.

    Args:
        folder: of the event files.
        label: of the run.
    """

    def __init__(self, folder: Path, label: Label) -> None:
        super().__init__()
        self.folder, self.label = folder, label
        self.writer: Any = None

    @classmethod
    def of_run(cls, folder: Path, label: Label, settings: Mapping[str, Any]) -> "TensorBoard":
        """Return the tracker, whose files are below the run folder."""
        return cls(folder / "tensorboard", label)

    @sheltered
    def begin(self, step: int) -> None:
        """Open a new event file, which takes the place of what earlier ones hold from the step on."""
        self.last = max((one for one in _steps_of_numbers(self.folder) if one < step), default=-1)
        self.writer = SummaryWriter(str(self.folder), purge_step=step)
        self.writer.add_text("config", _block(self.label.config), step)

    @sheltered
    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        """Add numbers by name."""
        self.last = step or 0
        for name, value in metrics.items():
            self.writer.add_scalar(name, value, step)

    @sheltered
    def log_picture(self, name: str, path: Path, step: int) -> None:
        """Add a PNG file."""
        import numpy as np
        from PIL import Image

        with Image.open(path) as picture:
            self.writer.add_image(name, np.asarray(picture.convert("RGB")), step, dataformats="HWC")

    @sheltered
    def log_histogram(self, name: str, values: Tensor, step: int) -> None:
        """Add a histogram of the finite ones among values of any shape."""
        finite = values[values.isfinite()]
        if finite.numel():  # it refuses an empty one
            self.writer.add_histogram(name, finite, step)

    @sheltered
    def log_sentence(self, name: str, text: str, step: int) -> None:
        """Add a sentence."""
        self.writer.add_text(name, text, step)

    @sheltered
    def end(self, exit_code: int) -> None:
        """Close the event file."""
        if self.writer is not None:
            self.writer.close()

    def abandon(self) -> None:
        """Drop what a failure leaves."""
        self.writer = None


def _steps_of_numbers(folder: Path) -> Iterator[int]:
    """Yield the steps of the numbers in the event files of a folder, without what a killed run left half written."""
    from tensorboard.backend.event_processing.event_file_loader import EventFileLoader

    for file in sorted(folder.glob("events.out.tfevents.*")):
        for event in EventFileLoader(str(file)).Load():
            if any(value.metadata.plugin_data.plugin_name == "scalars" for value in event.summary.value):
                yield int(event.step)


def _block(config: Mapping[str, Any]) -> str:
    """Return a config as TensorBoard shows text as it is: indented."""
    return "\n".join(f"    {line}" for line in yaml.safe_dump(dict(config), sort_keys=False).splitlines())
