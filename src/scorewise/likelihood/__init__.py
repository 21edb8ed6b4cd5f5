"""Normalised likelihoods of models whose conditionals are one-dimensional."""

from scorewise.likelihood.conditionals import Conditionals
from scorewise.likelihood.flow_ode import FlowODE
from scorewise.likelihood.panels import Panels
from scorewise.likelihood.quadrature import Quadrature, TailMass

__all__ = ["Conditionals", "FlowODE", "Panels", "Quadrature", "TailMass"]
