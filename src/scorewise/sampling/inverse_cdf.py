"""Exact draws by inverting the distribution function of one conditional after the other."""

from torch import Generator, Tensor

from scorewise.capabilities import QuantileModel
from scorewise.capabilities.roles import CausalQuantile
from scorewise.noise import uniform_like
from scorewise.sampling.ancestral import Ancestral


class InverseCDF(Ancestral[CausalQuantile]):
    """Inversion x_d = F_d^-1(u_d | x_<d), u_d uniform: one quadrature per dimension, no steps to tune and no bias.

    The draws are of the law that `log_prob` is the density of, by 0.7 of its panels where it is a quadrature.

    Example:
        >>> from scorewise.backbones import MADE
        >>> from scorewise.heads import ConditionalScore
        >>> from scorewise.likelihood import Quadrature
        >>> from scorewise.sampling import InverseCDF
        >>> model = ConditionalScore(MADE((2,), 12, (16,), "silu"), hidden=(8,), noise=0.3)
        >>> model.likelihood = Quadrature(-8, 8)
        >>> model.sampler = InverseCDF()
        >>> model.sample(4).shape
        torch.Size([4, 2])
    """

    needs = (QuantileModel,)

    def draw_block(self, model: CausalQuantile, c_BDF: Tensor, generator: Generator | None) -> Tensor:
        """Return one draw per context, shape (n, block)."""
        x_BD: Tensor = model.conditional_quantile(uniform_like(c_BDF[..., 0], generator), c_BDF)
        return x_BD
