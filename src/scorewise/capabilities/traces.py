"""First derivatives and exact traces of second ones without automatic differentiation, as capabilities."""

from typing import Protocol, runtime_checkable

from torch import Tensor


@runtime_checkable
class GradientFeatures(Protocol):
    """Gives the gradient in the example, (B, D), of a weighted sum of its features, by its own backward sweep."""

    def features_gradient(self, u_BD: Tensor, weight_F: Tensor) -> Tensor: ...


@runtime_checkable
class LaplacianFeatures(Protocol):
    """Turns an example into features, (B, F), their gradients, (D, B, F), and their Laplacians, (B, F)."""

    def laplacian_features(self, u_BD: Tensor) -> tuple[Tensor, Tensor, Tensor]: ...


@runtime_checkable
class TracedScoreModel(Protocol):
    """Gives the joint score (B, D) with the trace of its Jacobian (B,), faster than by a pass per dimension."""

    def traced_score(self, x_BD: Tensor) -> tuple[Tensor, Tensor]: ...
