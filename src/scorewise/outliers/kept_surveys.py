"""What a model said of its own data, kept beside it for as long as weights and examples stay the same."""

import hashlib
from collections.abc import Callable, Collection
from contextlib import suppress
from pathlib import Path

import torch
from torch import Tensor, nn

from scorewise.data.source import Source, Split
from scorewise.errors import UserError
from scorewise.files import make_folder
from scorewise.outliers.examples import Examiner
from scorewise.stored import Unreadable
from scorewise.weights import read_weights, write_weights

NAMED = 20
"""Digits of a file's name."""


class KeptSurveys:
    """Surveys by one examiner, each made once for the same weights, examples and settings.

    Args:
        folder: of the files, made where it is missing; one that cannot be written keeps nothing.
        about: all settings that the numbers follow from, beside the examiner's.

    Example:
        >>> import scorewise, tempfile
        >>> from pathlib import Path
        >>> from scorewise.data import Digits
        >>> from scorewise.outliers import Examiner, KeptSurveys
        >>> examiner = Examiner(scorewise.load("digits"), noise=0.3, seed=0, likelihoods=8)
        >>> kept = KeptSurveys(Path(tempfile.mkdtemp()), "likelihood=quadrature")
        >>> kept.survey(examiner, Digits(), "val", ["h"], 8)["h"].shape
        torch.Size([8])
    """

    def __init__(self, folder: Path, about: str) -> None:
        self.folder, self.about = folder, about

    def survey(
        self,
        examiner: Examiner,
        source: Source,
        split: Split,
        wanted: Collection[str],
        images: int,
        last: bool = False,
        tell: Callable[[float], None] | None = None,
    ) -> dict[str, Tensor]:
        """Return the wanted quantities of examples of a split, see `Examiner.survey`; read where they were kept."""
        of = (examiner.noise, examiner.seed, examiner.likelihoods, split, sorted(wanted), images, last)
        content = hashlib.sha256(repr((self.about, *of)).encode())
        if examiner.usual_D is not None:
            content.update(_bytes(examiner.usual_D))
        assert isinstance(examiner.model, nn.Module)
        for name, value in examiner.model.state_dict().items():
            content.update(f"{name} {value.dtype} {value.device.type}".encode())
            content.update(_bytes(value))
        for index_B in examiner.places(source, split, images, last):
            content.update(_bytes(source.examples(split, index_B, -1, examiner.seed)))
        path = self.folder / f"{content.hexdigest()[:NAMED]}.safetensors"
        return _once(path, lambda: examiner.survey(source, split, split, wanted, images, last, tell))


def _bytes(value: Tensor) -> bytes:
    return value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()


def _once(path: Path, compute: Callable[[], dict[str, Tensor]]) -> dict[str, Tensor]:
    with suppress(Unreadable):  # missing or damaged: it can be made again
        return read_weights(path, finite=False)
    made = compute()
    with suppress(OSError, UserError):
        make_folder(path.parent)
        write_weights(path, made)
    return made
