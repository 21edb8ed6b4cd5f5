"""Normalised likelihoods of models whose conditionals are one-dimensional."""

from scorewise.likelihood.conditionals import Conditionals
from scorewise.likelihood.flow_ode import FlowODE
from scorewise.likelihood.likelihood import Likelihood, TailMass
from scorewise.likelihood.panels import Panels
from scorewise.likelihood.quadrature import Quadrature
from scorewise.likelihood.transition import Transition

__all__ = ["Conditionals", "FlowODE", "Likelihood", "Panels", "Quadrature", "TailMass", "Transition"]
