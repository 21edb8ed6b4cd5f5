"""Tasks: LightningModules that train a model and do something useful with it."""

from scorewise.tasks.denoising import Denoising
from scorewise.tasks.density import DensityEstimation, bits_per_dim
from scorewise.tasks.ood import OODScoring
from scorewise.tasks.optimisation import Optimisation
from scorewise.tasks.score_task import NotFinite, ScoreTask

__all__ = ["Denoising", "DensityEstimation", "NotFinite", "OODScoring", "Optimisation", "ScoreTask", "bits_per_dim"]
