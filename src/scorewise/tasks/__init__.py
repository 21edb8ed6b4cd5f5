"""Tasks: LightningModules that train a model and do something useful with it."""

from scorewise.tasks.denoising import Denoising
from scorewise.tasks.density import DensityEstimation, bits_per_dim
from scorewise.tasks.implicit_vae import ImplicitVAE
from scorewise.tasks.optimisation import Optimisation
from scorewise.tasks.score_task import ScoreTask
from scorewise.tasks.task import NotFinite, Task

__all__ = [
    "Denoising",
    "DensityEstimation",
    "ImplicitVAE",
    "NotFinite",
    "Optimisation",
    "ScoreTask",
    "Task",
    "bits_per_dim",
]
