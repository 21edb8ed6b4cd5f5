"""What a VAE makes of images: their latents, and pictures of what these say."""

from pathlib import Path

import torch
from torch import Tensor

from scorewise.data.datamodule import Batch
from scorewise.errors import printable
from scorewise.files import write
from scorewise.latent import VAE
from scorewise.noise import Draws
from scorewise.tasks.prediction import DIGITS, Given, Prediction

ALONG, STEPS = "along each latent, -2 to 2", 9
"""The panel of images along each latent, and how many of them a row has."""
TABLE = "latents.csv"


class LatentCodes(Prediction):
    """Mean and standard deviation of draws of q(z|x) of every image.

    Args:
        vae: with an encoder.
        folder: what the folder of predictions is called.
        encodings: draws per image.
        shown: images in pictures.
        seed: of the draws.
    """

    by_name = True

    def __init__(self, vae: VAE, folder: str, encodings: int, shown: int, seed: int) -> None:
        self.vae, self.encodings, self.shown, self.seed = vae, encodings, shown, seed
        self._folder = folder

    @property
    def folder(self) -> str:
        """As it was given."""
        return self._folder

    @property
    def what(self) -> str:
        """What was done to the images."""
        return "encoded"

    def of(self, batch: Batch) -> Tensor:
        """Return mean and standard deviation, shape (B, 2, D of z)."""
        draws = Draws.of(self.seed, batch.epoch_B, batch.index_B)
        z_MBD = self.vae.encode(batch.x_BD, self.encodings, draws)
        return torch.stack([z_MBD.mean(0), z_MBD.std(0)], 1)

    def write(self, given: Given, found: Tensor, folder: Path) -> None:
        """Write a row of latents per image, and pictures: the first images reconstructed; a scatter of two latents."""
        from scorewise import plots

        columns = [f"{what}_{d + 1}" for what in ("mean", "std") for d in range(self.vae.z)]
        lines = [(printable(name), *row) for name, row in zip(given.names, found.flatten(1).tolist(), strict=True)]
        write(folder / TABLE, ("name", *columns), lines, digits=DIGITS)
        x_BD = given.x_ND[: self.shown]
        panels = self.panels(x_BD, Draws.of(self.seed, -1, torch.arange(len(x_BD))))
        name = "reconstructions"
        plots.samples(panels, self.vae.shape, folder / f"{name}.png", name, {ALONG: STEPS})
        if self.vae.z == 2:
            plots.samples({"mean of q(z|x)": found[:, 0]}, (2,), folder / "latents.png", "latents")

    def panels(self, x_BD: Tensor, draws: Draws) -> dict[str, Tensor]:
        """Return images, reconstructed, samples, and the first image with each latent changed in turn."""
        vae, x_BD = self.vae, x_BD.to(next(self.vae.parameters()).device)
        return {
            "data": x_BD,
            "reconstructed": vae.reconstruct(x_BD, draws),
            "samples": vae.sample(len(x_BD), torch.Generator().manual_seed(self.seed)).flatten(1),
            ALONG: vae.traversal(x_BD[0], steps=STEPS, draws=Draws(draws.key_B[:1])),
        }
