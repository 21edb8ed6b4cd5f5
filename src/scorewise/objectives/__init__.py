"""Objectives: ways of fitting a model to data, one file each."""

from scorewise.objectives.aem import AEM
from scorewise.objectives.block_mle import BlockMLE
from scorewise.objectives.csm import CSM
from scorewise.objectives.csm_annealed import CSMAnnealed
from scorewise.objectives.csm_dsm import CSMDSM
from scorewise.objectives.csm_mle import CSMMLE
from scorewise.objectives.dsm import DSM
from scorewise.objectives.dsm_multiscale import DSMMultiscale
from scorewise.objectives.esm import ESM
from scorewise.objectives.fd_ssm import FDSSM
from scorewise.objectives.mle import MLE
from scorewise.objectives.objective import Loss, Objective
from scorewise.objectives.pcd import PCD
from scorewise.objectives.sm import SM
from scorewise.objectives.ssm import SSM
from scorewise.objectives.ssm_vr import SSMVR

__all__ = [
    "AEM",
    "CSM",
    "CSMDSM",
    "CSMMLE",
    "DSM",
    "ESM",
    "FDSSM",
    "MLE",
    "PCD",
    "SM",
    "SSM",
    "SSMVR",
    "BlockMLE",
    "CSMAnnealed",
    "DSMMultiscale",
    "Loss",
    "Objective",
]
