"""What every model has: a data scale, a sampler and, where it is causal, conditionals."""

import math
from abc import ABC
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import torch
from torch import Generator, Tensor, nn

from scorewise.backbones.any_order import features_along
from scorewise.capabilities import (
    CausalFeatures,
    ContextStream,
    EnergyModel,
    MaskedFeatures,
    NormalisedDensity,
    StreamsFeatures,
    UncheckedDensity,
)
from scorewise.denoising import denoise
from scorewise.gradients import Derivatives
from scorewise.heads.drawing import CompletesExamples, DrawsSamples, FillsExamples
from scorewise.heads.draws_asked import count_of, generator_of
from scorewise.heads.examples import Examples, incomplete_examples, mask_of, masks_of, of_examples, refuse_not_finite
from scorewise.heads.streams import FullPassStream, MaskedStream, StandardisedStream
from scorewise.heads.trained import Trained
from scorewise.likelihood.likelihood import warned
from scorewise.objectives.objective import score_field
from scorewise.ordering import Ordering

ODDNESS: Sequence[tuple[type, Callable[[Any, Tensor], Tensor]]] = (
    (UncheckedDensity, lambda model, x_BD: -model.unchecked_log_prob(x_BD)),
    (NormalisedDensity, lambda model, x_BD: -model.log_prob(x_BD)),
    (EnergyModel, lambda model, x_BD: model.energy(x_BD)),
    (object, lambda model, x_BD: score_field(model)(x_BD).norm(dim=-1)),
)
"""How odd examples are to a model that has something: the first that applies."""


class Model(Trained, ABC):
    """A head on a backbone: the trained object that a user calls.

    Inside, everything happens in standard units u = (x - mean) / scale with scale^2 = std^2 + noise^2, so one
    learning rate and one initialisation fit all data.

    Args:
        backbone: turns u into features.
        mean: mean of the data, one number.
        std: standard deviation of the clean data.
        noise: standard deviation of the Gaussian noise in the law that is modelled (0 for none).
    """

    backbone: Any
    """A module with one of the capabilities in `needs`."""
    needs: ClassVar[tuple[type, ...]] = ()
    tells_runs_apart: ClassVar[bool] = False
    """Whether the name of a run holds the head: several objectives fit it, and nobody expects it of them."""
    mean: Tensor
    scale: Tensor

    def __init__(self, backbone: nn.Module, *, mean: float = 0.0, std: float = 1.0, noise: float = 0.0) -> None:
        super().__init__()
        self.backbone = backbone
        self.shape: tuple[int, ...] = tuple(self.backbone.shape)
        self.dims = math.prod(self.shape)
        self.noise = noise
        self.register_buffer("mean", torch.tensor(float(mean)))
        self.register_buffer("scale", torch.tensor(math.hypot(std, noise)))
        self.sampler: DrawsSamples | None = None

    @staticmethod
    def width_needed(**settings: Any) -> int | None:
        """Return how many features per dimension a head with these settings reads; None: as many as there are."""
        return None

    @classmethod
    def derivatives_of(cls, field: str) -> Derivatives:
        """Return how often the parts of a model are differentiated to get its scores.

        Args:
            field: joint or conditional.
        """
        return Derivatives(0, 0)

    def standardise(self, x_BD: Tensor) -> Tensor:
        """Return u = (x - mean) / scale, shape of x."""
        return (x_BD - self.mean) / self.scale

    def sample(self, n: int, generator: Generator | None = None) -> Tensor:
        """Return n examples drawn from the model, shape (n, *shape), in the scale of the data it was trained on.

        Raises:
            ValueError: the model was given no sampler.
            Misfit: n is no number of examples, or generator no generator.
        """
        count, generator = count_of(n), generator_of(generator)
        if self.sampler is None:
            raise ValueError("this model has no sampler: set model.sampler to one of scorewise.sampling first")
        with torch.no_grad(), warned():
            return self.sampler.draw(self, count, generator).reshape(count, *self.shape)

    def denoise(self, x: Any, sigma: float | None = None) -> Tensor:
        """Return examples without their Gaussian noise, in the shape of x; see `scorewise.denoising.denoise`.

        Args:
            x: noisy examples, as arrays or tensors, flat or in the shape of the data.
            sigma: standard deviation of the noise; None: of the law that was modelled.

        Raises:
            Misfit: x is no such examples.
            UnknownNoise: the model was not trained on this noise.
        """
        examples = Examples.of(self, x)
        return examples.answer(denoise(self, examples.rows_BD, sigma))

    def outlier_score(self, x: Any) -> Tensor:
        """Return how odd examples are, larger is odder, one number each.

        - log q(x) in nats where the model has a density (never refused), else its energy, else the norm of its scores;
        more statistics are in `scorewise.outliers`.

        Args:
            x: examples, as arrays or tensors, flat or in the shape of the data.

        Raises:
            Misfit: x is no such examples.
        """
        examples = incomplete_examples(self, x) if self.any_order else Examples.of(self, x)
        odd = next(of for kind, of in ODDNESS if isinstance(self, kind))
        with torch.no_grad():
            return examples.answer(odd(self, examples.rows_BD))

    @property
    def any_order(self) -> bool:
        """Whether it has a context of any known part of an example."""
        return False

    @property
    def like(self) -> Tensor:
        """A number of the model, of its type and on its device."""
        return self.scale

    def headline(self) -> str:
        """Return the classes of head and backbone."""
        return f"{type(self).__name__} on {type(self.backbone).__name__}"

    @property
    def drawn_by(self) -> object:
        """The sampler."""
        return self.sampler

    def description(self) -> str:
        """Return what the model is, of what and how large, a sentence."""
        parameters = sum(parameter.numel() for parameter in self.parameters())
        return (
            f"A Scorewise model of examples of shape {list(self.shape)}, {parameters:,} parameters, "
            f"of data with Gaussian noise {self.noise:g} in the scale of the data it was trained on."
        )


class CausalModel(Model, ABC):
    """A model of one-dimensional conditionals: context per dimension, query on top."""

    needs = (CausalFeatures,)

    @classmethod
    def derivatives_of(cls, field: str) -> Derivatives:
        """Return one everywhere for the joint score, which is the gradient of log q; conditional scores are given."""
        return Derivatives(1, 1) if field == "joint" else Derivatives(0, 0)

    @property
    def ordering(self) -> Ordering:
        """The order in which the model takes the dimensions: the backbone's, and where it has none as they lie."""
        ordering: Ordering | None = getattr(self.backbone, "ordering", None)
        return Ordering.named("raster", self.shape) if ordering is None else ordering

    @property
    def orderings(self) -> tuple[Ordering, ...]:
        """The orders whose densities the likelihood averages: the backbone's, and where it has none just `ordering`."""
        orderings: tuple[Ordering, ...] = getattr(self.backbone, "orderings", ()) or (self.ordering,)
        return orderings

    @property
    def any_order(self) -> bool:
        """Whether there is a context of any known part of an example."""
        return isinstance(self.backbone, MaskedFeatures)

    def complete(self, x_BD: Any, known_D: Any, generator: Generator | None = None) -> Tensor:
        """Return examples with the known dimensions kept and the others drawn from the model given them, shape of x.

        A model of any order takes any known dimensions, those of every example its own too. For all other models they
        must come first in the model's order, since an autoregressive model conditions on a prefix: train with an order
        that begins with them.

        Args:
            x_BD: examples, as arrays or tensors, flat or in the shape of the data; entries of unknown dimensions are
                not read.
            known_D: boolean, which entries of an example are known, likewise.
            generator: of the draws.

        Raises:
            ValueError: known dimensions that are no prefix, or a sampler that is not ancestral.
            Misfit: there are no such examples, no such mask, or no such generator.
        """
        examples, generator = Examples.of(self, x_BD, finite=False), generator_of(generator)
        if self.any_order:
            return examples.answer(self._fill(examples.rows_BD, masks_of(self, known_D, examples), generator))
        known_D = mask_of(self, known_D)
        x_BD = torch.where(known_D, examples.rows_BD, self.mean)
        refuse_not_finite(x_BD)
        known_P = known_D[list(self.ordering.sequence)]
        count = int(known_P.sum())
        if not bool(known_P[:count].all()):
            first = self.ordering.sequence[int((~known_P).int().argmax())]
            raise ValueError(
                f"the {count} known dimensions must be the first {count} of the model's order, and dimension {first} "
                "comes before the last of them: train with backbone.ordering=[the known ones, then the others], or "
                "with backbone=masked_mlp for any of them"
            )
        if not isinstance(self.sampler, CompletesExamples):
            raise ValueError(self._draws_whole_examples())
        with torch.no_grad(), warned():
            return examples.answer(self.sampler.complete(self, x_BD, count, generator))

    def _fill(self, x_BD: Tensor, known_BD: Tensor, generator: Generator | None) -> Tensor:
        x_BD = torch.where(known_BD, x_BD, self.mean)
        refuse_not_finite(x_BD)
        if not isinstance(self.sampler, FillsExamples):
            raise ValueError(self._draws_whole_examples())
        with torch.no_grad(), warned():
            return self.sampler.fill(self, x_BD, known_BD, generator)

    def _draws_whole_examples(self) -> str:
        return (
            f"{type(self.sampler).__name__} draws whole examples only: set model.sampler to an ancestral one, such as "
            "InverseCDF"
        )

    def filled(self, x_BD: Tensor) -> Tensor:
        """Return examples with the mean where an entry is missing (NaN), so that a head can be asked about it."""
        return torch.where(x_BD.isnan(), self.mean, x_BD)

    @of_examples
    def context(self, x_BD: Tensor) -> Tensor:
        """Return the context of every dimension from those before it, shape (B, D, F), in the precision of x.

        For a model of any order entries that are NaN are missing.
        """
        return self._computed(x_BD, self.backbone.causal_features)

    def context_along(self, x_BD: Tensor, ordering: Ordering) -> Tensor:
        """Return the same along another order, for a model of any."""
        return self._computed(x_BD, lambda u_BD: features_along(self.backbone.masked_features, u_BD, ordering))

    def masked_context(self, x_BD: Tensor, known_BD: Tensor, dims: Sequence[int] | None = None) -> Tensor:
        """Return the context of every dimension from what is known, shape (B, D, F), for a model of any order.

        Args:
            x_BD: examples; entries that are not known are not read and may be NaN.
            known_BD: boolean, which are.
            dims: of which dimensions to return the context; None: of all.
        """
        return self._computed(x_BD, lambda u_BD: self.backbone.masked_features(u_BD, known_BD, dims))

    def _computed(self, x_BD: Tensor, features: Callable[[Tensor], Tensor]) -> Tensor:
        # Ordinary tensors even in inference mode: the derivative of the head is taken on top of them.
        grad = torch.is_grad_enabled()  # which leaving inference mode turns on
        with torch.inference_mode(False), torch.set_grad_enabled(grad):
            return features(self.standardise(x_BD)).to(x_BD.dtype)

    def over_orders(self, x_BD: Tensor, log_q: Callable[[Tensor], Tensor]) -> Tensor:
        """Return the log-density of the equal mixture of the model along each of its orders, nats, shape (B,).

        Args:
            x_BD: examples.
            log_q: from contexts (B, D, F) to the log-density of every example along their order, shape (B,).
        """
        if len(self.orderings) == 1:
            return log_q(self.context(x_BD))
        log_q_RB = torch.stack([log_q(self.context_along(x_BD, ordering)) for ordering in self.orderings])
        return torch.logsumexp(log_q_RB, dim=0) - math.log(len(self.orderings))

    def rows_log_prob(self, x_BD: Tensor, of_entry: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
        """Return log q of examples in nats, (B,); of a model of any order, that of the entries that are not NaN.

        Args:
            x_BD: examples.
            of_entry: from queries (B, D) and contexts (B, D, F) to log q(x_d | c_d), shape (B, D).
        """
        if not self.any_order:
            return of_entry(x_BD, self.context(x_BD)).sum(-1)
        q_BD, missing_BD = self.filled(x_BD), x_BD.isnan()
        return self.over_orders(x_BD, lambda c_BDF: of_entry(q_BD, c_BDF).masked_fill(missing_BD, 0).sum(-1))

    def context_stream(self) -> ContextStream:
        """Return the contexts one dimension at a time, for sampling."""
        if isinstance(self.backbone, StreamsFeatures):
            return StandardisedStream(self.standardise, self.backbone.feature_stream())
        return MaskedStream(self) if self.any_order else FullPassStream(self)
