"""Deep outlier detectors that ours is compared with: from rows to a function that scores rows, larger is odder.

`DeepSVDD` (Ruff et al. 2018) and `AutoEncoder` are PyOD's, with its defaults: `pip install pyod`. `DTE-C` is written
anew as the authors' code has it (Livernoche et al. 2024, diffusion/dte.py): a network tells in which seventh of 400
diffusion times a noisy row is, and the score of a row is the time that it expects of the row as it is.
"""

from collections.abc import Mapping

import numpy as np
import torch
from outlier_peers import Array, Detector, Scores
from torch import Tensor, nn

TIMES, BINS, EPOCHS, BATCH, LR, DECAY = 400, 7, 400, 64, 1e-4, 5e-4
SIZES = (256, 512, 256)


def _network(columns: int) -> nn.Module:
    """Return the probabilities of the bins; the first layer has no dropout, as there."""
    sizes = [columns, *SIZES]
    layers: list[nn.Module] = []
    for place, (width, next_width) in enumerate(zip(sizes, SIZES, strict=False)):
        layers += [nn.Linear(width, next_width), nn.ReLU(), *([nn.Dropout(0.5)] if place else [])]
    return nn.Sequential(*layers, nn.Linear(SIZES[-1], BINS), nn.Softmax(1))


def diffusion_time(x_ND: Array, seed: int) -> Scores:
    """Return the expected bin of the diffusion time, DTE-C (Livernoche et al. 2024)."""
    torch.manual_seed(seed)
    x_ND = torch.as_tensor(x_ND).float()
    level_T = (1 - torch.cumprod(1 - torch.linspace(1e-4, 0.01, TIMES), 0)).sqrt()
    network = _network(x_ND.shape[1])
    optimizer = torch.optim.Adam(network.parameters(), LR, weight_decay=DECAY, fused=True)
    for _ in range(EPOCHS):
        for x_BD in x_ND[torch.randperm(len(x_ND))].split(BATCH):
            time_B = torch.randint(TIMES, (len(x_BD),))
            found_BK = network(x_BD + level_T[time_B, None] * torch.randn_like(x_BD))
            optimizer.zero_grad()
            nn.functional.cross_entropy(found_BK, time_B * BINS // TIMES).backward()  # of probabilities, as there
            optimizer.step()
    network.eval()

    @torch.no_grad()
    def score(y_ND: Array) -> Array:
        found_NK: Tensor = network(torch.as_tensor(y_ND).float())
        return np.asarray((found_NK @ torch.arange(BINS).float()).double().numpy())

    return score


def deep_svdd(x_ND: Array, seed: int) -> Scores:
    """Return the distance from the centre, PyOD's `DeepSVDD`."""
    from pyod.models.deep_svdd import DeepSVDD

    np.random.seed(seed)
    fit = DeepSVDD(x_ND.shape[1], random_state=seed, verbose=0).fit(x_ND)
    return lambda y_ND: np.asarray(fit.decision_function(y_ND), dtype=np.float64)


def autoencoder(x_ND: Array, seed: int) -> Scores:
    """Return the error of the reconstruction, PyOD's `AutoEncoder`."""
    from pyod.models.auto_encoder import AutoEncoder

    fit = AutoEncoder(random_state=seed, verbose=0, device="cpu").fit(x_ND)
    return lambda y_ND: np.asarray(fit.decision_function(y_ND), dtype=np.float64)


DEEP: Mapping[str, Detector] = {
    "DTE-C": diffusion_time,
    "DeepSVDD (PyOD)": deep_svdd,
    "AutoEncoder (PyOD)": autoencoder,
}
