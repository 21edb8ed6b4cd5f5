"""Table 2, CelebA: VAEs of faces by six estimates of the entropy gradient."""

import math
from collections.abc import Mapping
from typing import Any, final

import torch
from matplotlib.figure import Figure as Canvas
from torch import Tensor

from scorewise.backbones import MADE, MLP
from scorewise.figures.bench import Bench
from scorewise.figures.cost import seconds_per_step
from scorewise.figures.figure import Figure
from scorewise.figures.results import Claim, Results, ResultTable, Text
from scorewise.figures.vaes import OBJECTIVES, iteration
from scorewise.heads import ConditionalScore, Score
from scorewise.heads.model import Model
from scorewise.latent import ConvVAE
from scorewise.noise import Draws
from scorewise.plots import grid

PAPER: Mapping[str, float] = {
    "ELBO": 66.31,
    "Stein": 108.84,
    "Spectral": 121.51,
    "SSM": 62.50,
    "SSM-AR": 66.88,
    "CSM": 62.20,
}
"""FID of the paper, with torchvision's Inception as far as is known, which no other FID can be compared with."""
SHAPE = (3, 64, 64)
NOT_MEASURED = "not measured"


def smooth_images(count: int) -> Tensor:
    """Return random smooth colour images 64 x 64 in [-1, 1], shape (count, D)."""
    coarse = Draws.of(0, 0, torch.arange(count)).normal(3, 6, 6)
    return torch.tanh(torch.nn.functional.interpolate(coarse, size=SHAPE[1:], mode="bicubic")).flatten(1)


def causal(z: int, condition: int) -> Model:
    """Return the score network of CSM and SSM-AR."""
    return ConditionalScore(MADE((z,), 16, (256, 256), activation="tanh", condition=condition), activation="softplus")


def joint(z: int, condition: int) -> Model:
    """Return the score network of SSM."""
    return Score(MLP((z,), (256, 256), "tanh", condition=condition))


@final
class Table2Celeba(Figure):
    """The VAEs of table 2 at their published sizes: two steps on made-up images, and pictures of trained ones.

    It takes no FID: `src/eval.py` does, of a trained run.

    Args:
        batch: images of a step on made-up images.
        particles: of stein and spectral there.
        samples: images in the picture.
    """

    def __init__(self, batch: int, particles: int, samples: int) -> None:
        self.batch, self.particles, self.samples = batch, particles, samples

    def measure(self, bench: Bench) -> Results:
        """Return what two steps do at every method, and samples of what was trained."""
        tried = bench.once("two steps", {"batch": self.batch, "particles": self.particles}, self._two_steps)
        drawn = {
            name: run.model.sample(self.samples, torch.Generator().manual_seed(0)).flatten(1)
            for name, run in bench.firsts.items()
        }
        rows = [
            [name, NOT_MEASURED, published, round(one["seconds"], 2), round(one["loss"], 0)]
            for (name, published), one in zip(PAPER.items(), tried.values(), strict=True)
        ]
        trained = f"Trained: {', '.join(drawn)}." if drawn else "Nothing was trained on CelebA under this budget."
        return Results(
            [ResultTable("steps", rows)],
            [Claim("finite", all(math.isfinite(one["loss"]) for one in tried.values()))],
            {"losses": ", ".join(f"{name} {one['loss']:.0f}" for name, one in tried.items()), "trained": trained},
            data={"names": list(drawn)},
            arrays={"samples": drawn or {"made-up images": smooth_images(self.samples)}},
        )

    def _two_steps(self) -> dict[str, dict[str, float]]:
        x_BD = smooth_images(self.batch)
        found = {}
        for name, settings in METHODS.items():
            torch.manual_seed(0)
            objective, score = settings.get("objective"), settings.get("score")
            method = settings.get("method", "score")
            vae = ConvVAE(SHAPE, z=32, method=method, likelihood="gaussian", particles=self.particles, score=score)
            step = iteration(vae, OBJECTIVES[objective]() if objective else None, x_BD, lr=1e-4)
            taken = seconds_per_step({name: step}, 1, torch.device("cpu"))  # after one of warming up: two in all
            draws = Draws.of(0, 0, torch.arange(self.batch))
            with torch.no_grad():
                loss = vae.terms(vae.observation.observe(x_BD, draws), draws).total().mean()
            found[name] = {"seconds": taken[name], "loss": float(loss)}
        return found

    def draw(self, data: Mapping[str, Any], text: Text, canvas: Canvas) -> None:
        """Draw samples of every trained model, or the images that stood in for faces."""
        panels = data["samples"]
        canvas.set_size_inches(3 * len(panels), 3.3)
        for i, (name, x_ND) in enumerate(panels.items(), 1):
            axes = canvas.add_subplot(1, len(panels), i)
            axes.imshow(grid(x_ND.cpu().numpy().reshape(-1, *SHAPE)))
            axes.set_title(name, fontsize=9)
            axes.set_axis_off()


METHODS: Mapping[str, Mapping[str, Any]] = {
    "ELBO": {"method": "elbo"},
    "Stein": {"method": "stein"},
    "Spectral": {"method": "spectral"},
    "SSM": {"objective": "ssm_vr", "score": joint},
    "SSM-AR": {"objective": "ssm_vr", "score": causal},
    "CSM": {"objective": "csm", "score": causal},
}
"""The method, or the objective and the model of the score network."""
