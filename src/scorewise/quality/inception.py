"""torch-fidelity's Inception network, whose features FID and KID are defined on."""

import hashlib
import pickle
from collections.abc import Sequence
from pathlib import Path
from typing import final
from urllib.error import URLError

import torch
from torch import Tensor

from scorewise.errors import UserError
from scorewise.quality.extractor import FeatureExtractor


def weights_address() -> str:
    """Return where torch-fidelity's weights come from; the end of its file name begins their sha256."""
    from torch_fidelity.feature_extractor_inceptionv3 import URL_INCEPTION_V3

    return str(URL_INCEPTION_V3)


def find_weights(folder: Path) -> Path:
    """Return the file of weights: in a folder or in torch's hub folder, else downloaded into the folder.

    Raises:
        UserError: it is in neither and cannot be downloaded.
    """
    address = weights_address()
    name = address.rpartition("/")[2]
    hub = Path(torch.hub.get_dir()) / "checkpoints"
    for place in (folder / name, hub / name):
        if place.is_file():
            return place
    try:
        folder.mkdir(parents=True, exist_ok=True)
        torch.hub.download_url_to_file(address, str(folder / name), _prefix(address))
    except (URLError, OSError, RuntimeError) as error:
        raise UserError(
            f"the Inception weights of torch-fidelity are not on this machine and could not be downloaded "
            f"({type(error).__name__}): put {name}, from {address}, into {folder} or {hub}."
        ) from error
    return folder / name


def _prefix(address: str) -> str:
    return address.rpartition("-")[2].removesuffix(".pth")


@final
class InceptionFeatures(FeatureExtractor):
    """The 2,048 pooled features of Inception v3 in torch-fidelity's compatible form (Heusel et al. 2017).

    Images of any size become 299 x 299, and grey ones are taken as three equal channels.

    Args:
        weights: torch-fidelity's file.

    Raises:
        UserError: the file is not the one that torch-fidelity publishes, or it cannot be read.
    """

    name, num_features = "inception-v3-compat", 2048

    def __init__(self, weights: Path) -> None:
        super().__init__()
        from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

        expected = _prefix(weights_address())
        found = hashlib.sha256(weights.read_bytes()).hexdigest()
        if not found.startswith(expected):
            raise UserError(
                f"{weights} is not torch-fidelity's file (its sha256 begins with {found[:8]}, not {expected}): "
                "replace it."
            )
        try:
            torch.load(weights, weights_only=True)  # torch-fidelity itself would execute what a file holds
            self.network = FeatureExtractorInceptionV3(self.name, [str(self.num_features)], str(weights))
        except (pickle.UnpicklingError, RuntimeError, EOFError) as error:
            raise UserError(f"{weights} cannot be read ({type(error).__name__}): replace it.") from error

    def forward(self, images_BCHW: Tensor) -> Tensor:
        """Return the features (B, 2048) of images as bytes."""
        (found,) = self.network(images_BCHW.expand(-1, 3, -1, -1).contiguous())
        features_BF: Tensor = found.reshape(len(images_BCHW), -1)
        return features_BF

    def refusal(self, shape: Sequence[int]) -> str | None:
        """Return why images of a shape have no features here, as one sentence, or None where they have."""
        if shape[0] in (1, 3):
            return None
        return f"{self.name} takes grey or RGB images, and these have {shape[0]} channels"
