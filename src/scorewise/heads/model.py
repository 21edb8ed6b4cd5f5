"""What every model has: a data scale, a sampler and a way to be saved."""

import json
import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Protocol, cast, runtime_checkable

import torch
import yaml
from safetensors.torch import save_file
from torch import Generator, Tensor, nn

from scorewise.capabilities import CausalFeatures, ContextStream, StreamsFeatures
from scorewise.likelihood.likelihood import Likelihood
from scorewise.ordering import Ordering


class DrawsSamples(Protocol):
    """What a model's sampler has: a rule that draws n examples (n, D) from the model."""

    def draw(self, model: Any, n: int, generator: Generator | None) -> Tensor:
        """This is n examples, shape (n, D)."""


@runtime_checkable
class CompletesExamples(Protocol):
    """What an ancestral sampler has: it draws the rest of examples whose first positions are known."""

    def complete(self, model: Any, x_BD: Tensor, known: int, generator: Generator | None) -> Tensor:
        """This is the examples with all but the first `known` positions drawn, shape (n, D)."""


class Trained(nn.Module, ABC):
    """This is what a run trains and `scorewise.load` gives back: something with weights, a recipe and samples.

    Attributes:
        recipe: how it is built, plain values only (see `scorewise.store.assemble`).
        shape: of one example.
        noise: standard deviation of the Gaussian noise in the law that is modelled (0 for none).
    """

    shape: tuple[int, ...]
    noise: float

    def __init__(self) -> None:
        super().__init__()
        self.recipe: Mapping[str, Any] = {}

    @abstractmethod
    def sample(self, n: int, generator: Generator | None = None) -> Tensor:
        """This is n examples drawn from the model, shape (n, D), in the scale of the data it was trained on."""

    @abstractmethod
    def card(self) -> str:
        """This is the model card: what the model is, in Markdown."""

    def save(self, folder: str | Path) -> Path:
        """This writes weights.safetensors, config.yaml and a model card that `scorewise.load` reads.

        Raises:
            ValueError: the model was put together by hand, so there is no recipe to write.
        """
        if not self.recipe:
            raise ValueError(
                "this model was put together by hand and has no recipe: set model.recipe, as scorewise.store.assemble "
                "takes it, or save its state_dict() yourself"
            )
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        self.save_weights(folder / "weights.safetensors")
        recipe = {"model": json.loads(json.dumps(self.recipe))}  # plain numbers, lists and names only
        (folder / "config.yaml").write_text(yaml.safe_dump(recipe, sort_keys=False))
        (folder / "README.md").write_text(self.card())
        return folder

    def save_weights(self, path: Path) -> None:
        """This writes the weights alone, as plain numbers."""
        save_file({name: value.detach().cpu().contiguous() for name, value in self.state_dict().items()}, path)


class Model(Trained, ABC):
    """This is a head on a backbone: the trained object that a user calls.

    Inside, everything happens in standard units u = (x - mean) / scale with scale^2 = std^2 + noise^2, so one
    learning rate and one initialisation fit all data.

    Args:
        backbone: turns u into features.
        mean: mean of the data, one number.
        std: standard deviation of the clean data.
        noise: standard deviation of the Gaussian noise in the law that is modelled (0 for none).
    """

    needs: ClassVar[tuple[type, ...]]
    mean: Tensor
    scale: Tensor

    def __init__(self, backbone: nn.Module, *, mean: float = 0.0, std: float = 1.0, noise: float = 0.0) -> None:
        super().__init__()
        self.backbone = cast(Any, backbone)
        self.shape: tuple[int, ...] = tuple(cast(Any, backbone).shape)
        self.dims = math.prod(self.shape)
        self.noise = noise
        self.register_buffer("mean", torch.tensor(float(mean)))
        self.register_buffer("scale", torch.tensor(math.hypot(std, noise)))
        self.sampler: DrawsSamples | None = None

    @staticmethod
    def width_needed(**settings: Any) -> int | None:
        """This is how many features per dimension a head with these settings reads; None: as many as there are."""
        return None

    def standardise(self, x_BD: Tensor) -> Tensor:
        """This is x in standard units."""
        return (x_BD - self.mean) / self.scale

    def sample(self, n: int, generator: Generator | None = None) -> Tensor:
        """This is n examples drawn from the model, shape (n, D), in the scale of the data it was trained on.

        Raises:
            ValueError: the model was given no sampler.
        """
        if self.sampler is None:
            raise ValueError("this model has no sampler: set model.sampler to one of scorewise.sampling first")
        with torch.no_grad():
            return self.sampler.draw(self, n, generator)

    def card(self) -> str:
        """This is the model card: what the model is, in Markdown."""
        parameters = sum(parameter.numel() for parameter in self.parameters())
        return (
            f"# {type(self).__name__} on {type(self.backbone).__name__}\n\n"
            f"A Scorewise model of examples of shape {list(self.shape)}, {parameters:,} parameters, "
            f"of data with Gaussian noise {self.noise:g} in the scale of the data it was trained on.\n\n"
            "```python\nimport scorewise\n\n"
            'model = scorewise.load("this/folder")\n'
            "x = model.sample(16)\n```\n\n"
            "Score means + grad log p. `config.yaml` says how it is built; nothing in this folder is executed.\n"
        )


class CausalModel(Model, ABC):
    """This is a model of one-dimensional conditionals: context per dimension, query on top."""

    needs = (CausalFeatures,)

    @property
    def ordering(self) -> Ordering:
        """This is the order in which the model takes the dimensions."""
        ordering: Ordering = self.backbone.ordering
        return ordering

    def complete(self, x_BD: Tensor, known_D: Tensor, generator: Generator | None = None) -> Tensor:
        """This is examples with the known dimensions kept and the others drawn from the model given them, shape (B, D).

        The known dimensions must come first in the model's order: an autoregressive model conditions on a prefix. For
        other dimensions train with an order that begins with them.

        Args:
            x_BD: examples; entries of unknown dimensions are not read.
            known_D: boolean, which dimensions are known.
            generator: of the draws.

        Raises:
            ValueError: known dimensions that are no prefix, or a sampler that is not ancestral.
        """
        known_P = known_D[list(self.ordering.sequence)]
        count = int(known_P.sum())
        if not bool(known_P[:count].all()):
            first = self.ordering.sequence[int((~known_P).int().argmax())]
            raise ValueError(
                f"the {count} known dimensions must be the first {count} of the model's order, and dimension {first} "
                "comes before the last of them: train with backbone.ordering=[the known ones, then the others]"
            )
        if not isinstance(self.sampler, CompletesExamples):
            raise ValueError(
                f"{type(self.sampler).__name__} draws whole examples only: set model.sampler to an ancestral one, such "
                "as InverseCDF"
            )
        with torch.no_grad():
            return self.sampler.complete(self, torch.where(known_D, x_BD, self.mean), count, generator)

    def context(self, x_BD: Tensor) -> Tensor:
        """This is the context of every dimension from those before it, shape (B, D, F), in the precision of x."""
        # Ordinary tensors even in inference mode: the derivative of the head is taken on top of them.
        with torch.inference_mode(False), torch.set_grad_enabled(torch.is_grad_enabled()):
            c_BDF: Tensor = self.backbone.causal_features(self.standardise(x_BD))
            return c_BDF.to(x_BD.dtype)

    def context_stream(self) -> ContextStream:
        """This is the contexts one dimension at a time, for sampling."""
        if isinstance(self.backbone, StreamsFeatures):
            return StandardisedStream(self, self.backbone.feature_stream())
        return FullPassStream(self)


class LiftedModel(CausalModel, ABC):
    """This is a model of conditionals without a closed form; a likelihood lifts it to a NormalisedDensity."""

    def __init__(self, backbone: nn.Module, *, mean: float = 0.0, std: float = 1.0, noise: float = 0.0) -> None:
        super().__init__(backbone, mean=mean, std=std, noise=noise)
        self.likelihood: Likelihood | None = None

    def lifted(self) -> Likelihood:
        """This is the likelihood.

        Raises:
            ValueError: the model was given none.
        """
        if self.likelihood is None:
            raise ValueError("this model has no likelihood: set model.likelihood to one of scorewise.likelihood first")
        return self.likelihood

    def log_prob(self, x_BD: Tensor) -> Tensor:
        """This is log q(x) in nats, shape (B,).

        Raises:
            ValueError: the model has no likelihood, or conditionals that no likelihood can normalise; x is not finite.
        """
        if not bool(x_BD.isfinite().all()):
            row = int((~x_BD.isfinite()).any(-1).int().argmax())
            raise ValueError(
                f"x is not finite in row {row}: a log-density is of finite numbers, so leave such rows out"
            )
        return self.lifted().log_prob(self, x_BD)

    def unchecked_log_prob(self, x_BD: Tensor, finer: float = 1) -> Tensor:
        """This is log q(x), shape (B,), as far as training has come, when it may not be a likelihood to report yet.

        It takes so many times the nodes or steps of the likelihood.
        """
        return self.lifted().conditional_log_prob(self, x_BD, finer)[0].sum(-1)

    def quadrature_error(self, x_BD: Tensor) -> Tensor:
        """This is |log q| against twice the nodes or steps of its normaliser, nats, shape (B,)."""
        return self.lifted().numbers(self, x_BD)["nll_quadrature_error"]

    def conditional_quantile(self, u_BD: Tensor, c_BDF: Tensor) -> Tensor:
        """This is the x_d with q(y_d < x_d | c_d) = u_d, shape of u."""
        return self.lifted().quantile(self, u_BD, c_BDF)


class StandardisedStream:
    """This is a backbone's feature stream, fed with values in the scale of the data."""

    def __init__(self, model: CausalModel, features: ContextStream) -> None:
        self.model, self.features = model, features

    def start(self, n: int) -> Tensor:
        """This is the context of the first block for n examples."""
        return self.features.start(n)

    def push(self, x_block: Tensor) -> Tensor:
        """This is the context of the next block, given the values of the current one."""
        return self.features.push(self.model.standardise(x_block))


class FullPassStream:
    """This is contexts by one full pass of the trunk per dimension: the fallback for any causal backbone."""

    def __init__(self, model: CausalModel) -> None:
        self.model = model
        self.position = 0
        self.x_BD = torch.empty(0)

    def start(self, n: int) -> Tensor:
        """This is the context of the first dimension for n examples, shape (n, 1, F)."""
        self.position = 0
        self.x_BD = self.model.mean.expand(n, self.model.dims).clone()
        return self._next()

    def push(self, x_block: Tensor) -> Tensor:
        """This is the context of the next dimension, given the values (n, 1) of the current one."""
        self.x_BD[:, self.model.ordering.sequence[self.position]] = x_block[:, 0]
        self.position += 1
        return self._next()

    def _next(self) -> Tensor:
        dims = self.model.ordering.sequence[self.position : self.position + 1]
        return self.model.context(self.x_BD)[:, list(dims)]
