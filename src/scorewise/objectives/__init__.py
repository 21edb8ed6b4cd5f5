"""Objectives: ways of fitting a model to data, one file each."""

from scorewise.objectives.csm import CSM
from scorewise.objectives.dsm import DSM
from scorewise.objectives.mle import MLE
from scorewise.objectives.objective import Loss, Objective
from scorewise.objectives.sm import SM

__all__ = ["CSM", "DSM", "MLE", "SM", "Loss", "Objective"]
