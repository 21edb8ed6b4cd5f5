"""Normalised likelihoods: of models by their one-dimensional conditionals, of joint scores by the probability flow."""

from scorewise.likelihood.conditionals import Conditionals
from scorewise.likelihood.flow_ode import FlowODE
from scorewise.likelihood.joint_flow import JointFlow, JointLogProb
from scorewise.likelihood.likelihood import Likelihood, TailMass
from scorewise.likelihood.panels import Panels
from scorewise.likelihood.quadrature import Quadrature
from scorewise.likelihood.transition import Transition

__all__ = [
    "Conditionals",
    "FlowODE",
    "JointFlow",
    "JointLogProb",
    "Likelihood",
    "Panels",
    "Quadrature",
    "TailMass",
    "Transition",
]
