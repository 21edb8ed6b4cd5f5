"""What a model of blocks of dimensions can do, as protocols."""

from typing import Protocol, runtime_checkable

from torch import Tensor


@runtime_checkable
class BlockFeatures(Protocol):
    """Turns an example into features per block of its order; row k sees only the blocks before the k-th."""

    def block_features(self, u_BD: Tensor) -> Tensor:
        """Return features of every block from those before it, shape (B, K, F)."""


@runtime_checkable
class BlockScoreModel(Protocol):
    """Has the score of every block of the order given the blocks before it, grad log q(x_k | x_<k) in b dimensions.

    Queries and scores are (..., K, b), blocks smaller than the largest padded with entries that count for nothing, and
    contexts (..., K, F); blocks of one query do not see each other. A field of b > 1 dimensions that a network gives
    need not be the gradient of any log-density, as one in one dimension always is: what draws from it or integrates
    it (the probability flow) makes a proper law of it, whose score is the field only as far as that is a gradient.
    """

    def block_context(self, x_BD: Tensor) -> Tensor:
        """Return the context of every block, shape (B, K, F)."""

    def block_score(self, q_BKb: Tensor, c_BKF: Tensor) -> Tensor:
        """Return the score of every block, shape of q."""


@runtime_checkable
class BlockEnergyModel(Protocol):
    """Has an energy of every block given the blocks before it, - log q(x_k | x_<k) up to a constant of its context."""

    def block_context(self, x_BD: Tensor) -> Tensor:
        """Return the context of every block, shape (B, K, F)."""

    def block_energy(self, q_BKb: Tensor, c_BKF: Tensor) -> Tensor:
        """Return the energy of every block, shape of q without its last axis."""


@runtime_checkable
class NoisyBlockScoreModel(Protocol):
    """Has the scores of blocks as `BlockScoreModel` says, the query at any noise level of a ladder, one per block.

    The context is always at the smallest level.
    """

    def block_context(self, x_BD: Tensor) -> Tensor:
        """Return the context of every block, shape (B, K, F)."""

    def noisy_block_score(self, q_BKb: Tensor, c_BKF: Tensor, sigma_BK: Tensor) -> Tensor:
        """Return the score of every block at its level, shape of q."""
