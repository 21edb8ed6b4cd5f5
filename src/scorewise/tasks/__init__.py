"""Tasks: LightningModules that train a model and do something useful with it."""

from scorewise.extras import from_extras

with from_extras():
    from scorewise.tasks.bundle import Bundle
    from scorewise.tasks.classification import Classification
    from scorewise.tasks.denoising import Denoising
    from scorewise.tasks.density import DensityEstimation, bits_per_dim
    from scorewise.tasks.implicit_vae import ImplicitVAE
    from scorewise.tasks.ood import OODScoring
    from scorewise.tasks.optimisation import Optimisation
    from scorewise.tasks.prediction import Given, Prediction
    from scorewise.tasks.report import Report
    from scorewise.tasks.sample_quality import SampleQuality
    from scorewise.tasks.score_task import ScoreTask
    from scorewise.tasks.task import NotFinite, Task

__all__ = [
    "Bundle",
    "Classification",
    "Denoising",
    "DensityEstimation",
    "Given",
    "ImplicitVAE",
    "NotFinite",
    "OODScoring",
    "Optimisation",
    "Prediction",
    "Report",
    "SampleQuality",
    "ScoreTask",
    "Task",
    "bits_per_dim",
]
