"""One trial of a user's own classes, on two examples, before a run writes anything."""

import copy
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, cast

import torch
from torch import Tensor

from scorewise.capabilities import NormalisedDensity, UncheckedDensity
from scorewise.catalog import Config
from scorewise.config.build import Parts
from scorewise.config.choices import own_of
from scorewise.errors import WHAT_IT_MUST_HAVE, UserError, own_code_told
from scorewise.heads.model import CausalModel, Model
from scorewise.noise import Draws, OwnNumbers, smoothing_noise

TRIED = ("data", "backbone", "head", "objective", "sampler")
"""Groups whose classes are tried where they are a user's own."""
EXAMPLES = 2
PLACES = 8
"""At how many places of the order causal features are tried."""
DENSITIES: Sequence[tuple[type, Callable[[Any, Tensor], Tensor]]] = (
    (UncheckedDensity, lambda model, x_BD: model.unchecked_log_prob(x_BD)),
    (NormalisedDensity, lambda model, x_BD: model.log_prob(x_BD)),
)
"""Log-densities that are refused least, of models that have something: the first that applies."""


def refuse_unfit(config: Config, parts: Parts, seed: int) -> None:
    """Ask a user's own classes for what training and testing will ask of them; Scorewise's own are not tried.

    That is two training examples, a context, a loss with its gradient, a draw and a log-density.

    Args:
        config: settled.
        parts: built from it.
        seed: of the run, whose random numbers stay as they are.

    Raises:
        UserError: what fails, in which line, and where it is written what such a class must have.
    """
    own = own_of(config, *TRIED)
    if own:
        with OwnNumbers(seed), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            trial = _Trial(own, parts, float(config["data"]["smoothing"]), seed)
            if len(trial.index_B) and "latent" not in config:  # data without examples are refused elsewhere
                _try(trial, cast(Model, parts.model))


class _Trial:
    """What is tried, and on which examples."""

    def __init__(self, own: list[type], parts: Parts, smoothing: float, seed: int) -> None:
        self.own, self.parts, self.seed = own, parts, seed
        with own_code_told("reading two training examples", own):
            parts.source.prepare()
            count = min(EXAMPLES, *(parts.source.count(split) for split in ("train", "val", "test")))
            self.index_B = torch.arange(count)
            self.x_BD = parts.source.examples("train", self.index_B, 0, seed)
            self.expect("an example", self.x_BD, (count, parts.source.dims))
            self.x_BD = self.x_BD + smoothing * smoothing_noise(Draws.of(seed, 0, self.index_B), self.x_BD)

    def expect(self, what: str, value: Tensor, shape: tuple[int, ...]) -> None:
        if tuple(value.shape) != shape:
            self.refuse(f"{what} has shape {list(value.shape)} and not {list(shape)}")
        if not bool(value.isfinite().all()):
            self.refuse(f"{what} is not finite")

    def refuse(self, sentence: str) -> None:
        names = " and ".join(cls.__name__ for cls in self.own)
        raise UserError(f"tried with {names} on two examples, {sentence}: {WHAT_IT_MUST_HAVE}.")


@contextmanager
def _evaluating(model: torch.nn.Module) -> Iterator[None]:
    training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(training)


def _try(trial: _Trial, model: Model) -> None:
    with _evaluating(model):
        if isinstance(model, CausalModel):
            with own_code_told("a context of two examples", trial.own), torch.no_grad():
                _try_features(trial, model)
        with own_code_told("the loss of two examples", trial.own):
            _try_loss(trial, model)
        with own_code_told("a draw of two examples", trial.own):
            drawn = model.sample(len(trial.x_BD), torch.Generator().manual_seed(trial.seed))
            trial.expect("a draw", drawn, (len(trial.x_BD), *model.shape))
        with own_code_told("the log-density of two examples", trial.own), torch.no_grad():
            _try_density(trial, model)


def _try_features(trial: _Trial, model: CausalModel) -> None:
    """Refuse features of another shape, or that see what does not come before them."""
    u_BD, ordering = model.standardise(trial.x_BD), model.ordering
    if len(ordering) != model.dims:
        trial.refuse(f"the backbone's ordering is not of {model.dims} dimensions")
    c_BDF = model.backbone.causal_features(u_BD)
    trial.expect("what causal_features returns", c_BDF, (*u_BD.shape, model.backbone.width))
    last = model.dims - 1
    for place in sorted({round(last * i / PLACES) for i in range(PLACES + 1)}):
        changed_BD = u_BD.clone()
        changed_BD[:, list(ordering.sequence[place:])] += 1
        seen = list(ordering.sequence[: place + 1])
        other_BDF = model.backbone.causal_features(changed_BD)
        if not torch.allclose(c_BDF[:, seen], other_BDF[:, seen], rtol=1e-3, atol=1e-4):
            trial.refuse(
                "a row of causal_features changes with its own dimension or a later one, and may only see what comes "
                "before it in the ordering: shift the rows by one, say"
            )


def _try_loss(trial: _Trial, model: Model) -> None:
    objective = copy.deepcopy(trial.parts.objective)
    assert objective is not None
    if objective.references:
        objective.refer_to(trial.x_BD)
    loss = objective(model, trial.x_BD, Draws.of(trial.seed, 0, trial.index_B))
    trial.expect("the loss", loss.per_example, (len(trial.x_BD),))
    weights = [one for one in model.parameters() if one.requires_grad]
    if not loss.total.requires_grad or all(
        one is None for one in torch.autograd.grad(loss.total, weights, allow_unused=True)
    ):
        trial.refuse("the loss does not depend on any weight of the model")


def _try_density(trial: _Trial, model: Model) -> None:
    for has, log_prob in DENSITIES:
        if isinstance(model, has):
            trial.expect("the log-density", log_prob(model, trial.x_BD), (len(trial.x_BD),))
            break
