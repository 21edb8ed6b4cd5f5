"""Normalised likelihoods: of conditionals of one dimension or of blocks, and of joint scores by their flow."""

from scorewise.likelihood.block_flow_ode import BlockFlowODE
from scorewise.likelihood.conditionals import Conditionals
from scorewise.likelihood.flow_ode import FlowODE
from scorewise.likelihood.joint_flow import JointFlow, JointLogProb
from scorewise.likelihood.likelihood import Likelihood, Normaliser, TailMass
from scorewise.likelihood.panels import Panels
from scorewise.likelihood.quadrature import Quadrature
from scorewise.likelihood.scores_at_levels import ScoresAtLevels
from scorewise.likelihood.transition import Transition

__all__ = [
    "BlockFlowODE",
    "Conditionals",
    "FlowODE",
    "JointFlow",
    "JointLogProb",
    "Likelihood",
    "Normaliser",
    "Panels",
    "Quadrature",
    "ScoresAtLevels",
    "TailMass",
    "Transition",
]
