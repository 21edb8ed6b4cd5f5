"""The score network of an implicit encoder: an ordinary model of z, conditioned on features of the image."""

import copy

from torch import Tensor, nn

from scorewise.capabilities import GivenCausalFeatures
from scorewise.heads.model import Model
from scorewise.latent.networks import Trunk


class BoundCausal(nn.Module):
    """This is a causal backbone at fixed conditions: CausalFeatures."""

    def __init__(self, backbone: nn.Module, y_BF: Tensor) -> None:
        super().__init__()
        self.backbone, self.y_BF = backbone, y_BF
        self.ordering = backbone.ordering

    def causal_features(self, u_BD: Tensor) -> Tensor:
        """This is the features of every latent from those before it and the image."""
        features: Tensor = self.backbone.causal_features_given(u_BD, self.y_BF)  # type: ignore[operator]
        return features


class BoundJoint(nn.Module):
    """This is a backbone of the whole example at fixed conditions: Features."""

    def __init__(self, backbone: nn.Module, y_BF: Tensor) -> None:
        super().__init__()
        self.backbone, self.y_BF = backbone, y_BF

    def features(self, u_BD: Tensor) -> Tensor:
        """This is the features of all latents and the image."""
        features: Tensor = self.backbone.features_given(u_BD, self.y_BF)  # type: ignore[operator]
        return features


class ScoreNetwork(nn.Module):
    """This is the score of q(z|x): a head on a backbone that sees features of x.

    Args:
        trunk: features of x, shape (B, F).
        model: of z, on a backbone with as many conditions.
    """

    def __init__(self, trunk: Trunk, model: Model) -> None:
        super().__init__()
        self.trunk, self.model = trunk, model

    def given(self, o_BD: Tensor) -> Model:
        """This is the model of z given these images, one row each: any objective fits it as it fits any model."""
        backbone, y_BF = self.model.backbone, self.trunk(o_BD)
        bound = BoundCausal if isinstance(backbone, GivenCausalFeatures) else BoundJoint
        model = copy.copy(self.model)  # the same parameters
        model._modules = {**self.model._modules, "backbone": bound(backbone, y_BF)}
        return model
