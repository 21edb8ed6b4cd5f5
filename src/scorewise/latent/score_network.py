"""The score network of an implicit encoder: an ordinary model of z, conditioned on features of the image."""

import copy

import torch
from torch import Tensor, nn

from scorewise.capabilities import GivenCausalFeatures
from scorewise.heads.model import Model
from scorewise.latent.networks import Trunk


class BoundCausal(nn.Module):
    """A causal backbone at fixed conditions: CausalFeatures."""

    def __init__(self, backbone: nn.Module, y_BF: Tensor) -> None:
        super().__init__()
        self.backbone, self.y_BF = backbone, y_BF
        self.ordering = backbone.ordering

    def causal_features(self, u_BD: Tensor) -> Tensor:
        """Return the features of every latent from those before it and the image."""
        features: Tensor = self.backbone.causal_features_given(u_BD, self.y_BF)  # type: ignore[operator]
        return features


class BoundJoint(nn.Module):
    """A backbone of the whole example at fixed conditions: Features."""

    def __init__(self, backbone: nn.Module, y_BF: Tensor) -> None:
        super().__init__()
        self.backbone, self.y_BF = backbone, y_BF

    def features(self, u_BD: Tensor) -> Tensor:
        """Return the features of all latents and the image."""
        features: Tensor = self.backbone.features_given(u_BD, self.y_BF)  # type: ignore[operator]
        return features


MEMORY = 0.95
"""Weight of the past in the running standard deviations, which are geometric means."""


class ScoreNetwork(nn.Module):
    """The score of q(z|x): a head on a backbone that sees features of x.

    Args:
        trunk: features of x, shape (B, F).
        model: of z, on a backbone with as many conditions.
        dims: D of z where latents are standardised for the model; None: they are not. Then it sees u = (z - m(x)) /
            tau, with m(x) the encoder's output for no noise and tau the running standard deviations of z - m(x) by
            latent, one for all images. The score of z is that of u over tau, so this is no approximation; but a network
            of z itself has to find m(x) more precisely than q(z|x) is wide before its score says anything.

    Example:
        >>> import torch
        >>> from scorewise.backbones import MADE
        >>> from scorewise.heads import ConditionalScore
        >>> from scorewise.latent import ScoreNetwork
        >>> from scorewise.latent.networks import DenseTrunk
        >>> model = ConditionalScore(MADE((2,), 8, (16,), "tanh", condition=64), hidden=(8,))
        >>> network = ScoreNetwork(DenseTrunk((1, 8, 8), (), "tanh"), model)
        >>> q = network.given(torch.rand(5, 64))  # the score network of five images
        >>> z = torch.randn(5, 2)
        >>> q.conditional_score(z, q.context(z)).shape
        torch.Size([5, 2])
    """

    tau_D: Tensor

    def __init__(self, trunk: Trunk, model: Model, dims: int | None = None) -> None:
        super().__init__()
        self.trunk, self.model = trunk, model
        self.bound = BoundCausal if isinstance(model.backbone, GivenCausalFeatures) else BoundJoint
        self.standardises = dims is not None
        if dims is not None:
            self.register_buffer("tau_D", torch.ones(dims))

    def standardised(self, z_BD: Tensor, centre_BD: Tensor) -> Tensor:
        """Return what the model sees for draws z (..., B, D) around the encoder's output for no noise."""
        return (z_BD - centre_BD) / self.tau_D if self.standardises else z_BD

    def unstandardised(self, s_BD: Tensor) -> Tensor:
        """Return the score of z, given that of what the model sees; shape (..., B, D)."""
        return s_BD / self.tau_D if self.standardises else s_BD

    @torch.no_grad()
    def watch(self, z_BD: Tensor, centre_BD: Tensor) -> None:
        """Move the running standard deviations towards those of a batch."""
        if self.standardises:
            now_D = (z_BD - centre_BD).square().mean(0).sqrt().clamp(min=torch.finfo(z_BD.dtype).tiny)
            self.tau_D.pow_(MEMORY).mul_(now_D.pow(1 - MEMORY))

    def given(self, o_BD: Tensor) -> Model:
        """Return the model of z given these images, one row each: any objective fits it as it fits any model."""
        backbone, y_BF = self.model.backbone, self.trunk(o_BD)
        model = copy.copy(self.model)  # the same parameters
        model._modules = {**self.model._modules, "backbone": self.bound(backbone, y_BF)}
        return model
