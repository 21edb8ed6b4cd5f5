"""Several models of the same data as one mixture, for example one model per order of the dimensions."""

import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Protocol, cast

import torch
from torch import Generator, Tensor, nn

from scorewise.capabilities import ClosedFormDensity, NormalisedDensity, Sampler
from scorewise.capabilities.roles import Density
from scorewise.data.tabular.columns import Columns
from scorewise.errors import UserError
from scorewise.gradients import score_of_log_density
from scorewise.heads.draws_asked import count_of, generator_of
from scorewise.heads.examples import of_examples
from scorewise.heads.model import Model
from scorewise.store import load


class Unmixable(UserError, ValueError):
    """Members that are no densities of the same examples in the same units; the message says which."""


class Member(Density, Sampler, Protocol):
    """What an ensemble asks of a member."""


class Ensemble(nn.Module):
    """The mixture of M models with equal weights: NormalisedDensity, Sampler, ScoreModel.

    By Jensen's inequality its log q(x) is nowhere below the mean of its members'.

    Args:
        members: models of the same data with the same noise, each with a normalised density. Rows of a table are
            standardised, and so are their densities: members need the same columns, means and scales.

    Raises:
        Unmixable: no member, one of other examples or of another noise, or one without a normalised density.

    Example:
        >>> import torch
        >>> from scorewise.backbones import MADE
        >>> from scorewise.densities import Ensemble
        >>> from scorewise.heads import Mixture
        >>> members = [Mixture(MADE((2,), 9, (16,), ordering=order), components=3) for order in ("raster", "reverse")]
        >>> ensemble = Ensemble(members)
        >>> x = torch.zeros(5, 2)
        >>> bool((ensemble.log_prob(x) >= sum(one.log_prob(x) for one in members) / 2).all())  # Jensen's inequality
        True
    """

    def __init__(self, members: Iterable[Model]) -> None:
        super().__init__()
        members = list(members)
        if not members:
            raise Unmixable("an ensemble needs at least one member, and was given none")
        for member in members:
            if not isinstance(member, Model):
                raise Unmixable(f"{member!r} is no model: Ensemble takes models, and Ensemble.load takes their folders")
        self.shape = members[0].shape
        self.dims = members[0].dims
        _refuse_others(members)
        for i, member in enumerate(members):
            if not isinstance(member, NormalisedDensity):
                raise Unmixable(
                    f"member {i} of the ensemble, {type(member).__name__}, has no normalised density to mix"
                )
        self.members = nn.ModuleList(members)

    @classmethod
    def load(cls, folders: Sequence[str | Path], classes: Sequence[type] = ()) -> "Ensemble":
        """Return the ensemble of the models in run folders or folders written by `model.save`.

        Args:
            folders: on this machine, one per member.
            classes: your own classes that their configs name.

        Raises:
            UserError: what is missing, damaged or refused; one folder that is in no list.
        """
        if isinstance(folders, str | Path):
            raise UserError(
                f"Ensemble.load takes a list of folders, one per member: Ensemble.load([{str(folders)!r}])."
            )
        return cls([load(folder, classes) for folder in folders]).eval()

    def _members(self) -> Sequence[Member]:
        return cast(Sequence[Member], self.members)  # a ModuleList does not say what its modules can do

    def member_log_prob(self, x_BD: Tensor) -> Tensor:
        """Return log q(x) in nats by every member, shape (M, B)."""
        return torch.stack([member.log_prob(x_BD) for member in self._members()])

    @property
    def like(self) -> Tensor:
        """A number of the first member, of the type and on the device of all of them."""
        return self._members()[0].scale

    @of_examples
    def log_prob(self, x_BD: Tensor) -> Tensor:
        """Return log q(x) in nats, shape (B,)."""
        return equal_mixture(self.member_log_prob(x_BD))

    @of_examples
    def score(self, x_BD: Tensor) -> Tensor:
        """Return the joint score grad_x log q(x), shape (B, D): the members' scores by their responsibilities.

        Raises:
            ValueError: a member's density has no closed form to differentiate.
        """
        for i, member in enumerate(self.members):
            if not isinstance(member, ClosedFormDensity):
                raise ValueError(
                    f"member {i} of the ensemble, {type(member).__name__}, has no density in closed form, so the "
                    "mixture has no joint score"
                )
        return score_of_log_density(self.log_prob, x_BD)

    def sample(self, n: int, generator: Generator | None = None) -> Tensor:
        """Return n examples, shape (n, *shape): each from a member of its own choice.

        Raises:
            ValueError: a member was given no sampler.
            Misfit: n is no number of examples, or generator no generator.
        """
        n, generator, members = count_of(n), generator_of(generator), self._members()
        device = None if generator is None else generator.device
        chosen_B = torch.randint(len(members), (n,), generator=generator, device=device)
        x_BD = members[0].mean.new_empty(n, self.dims)
        for i, member in enumerate(members):
            mine_B = (chosen_B == i).to(x_BD.device)
            if count := int(mine_B.sum()):
                x_BD[mine_B] = member.sample(count, generator).flatten(1)
        return x_BD.reshape(n, *self.shape)


def equal_mixture(log_q_MB: Tensor) -> Tensor:
    """Return the log-density of the mixture with equal weights from those of its M parts, shape (B,)."""
    return log_q_MB.logsumexp(0) - math.log(len(log_q_MB))


def _refuse_others(members: Sequence[Model]) -> None:
    """Refuse members whose examples, or the law of them, are not those of the first one."""
    first = members[0]
    for i, member in enumerate(members[1:], 1):
        if member.shape != first.shape:
            raise Unmixable(
                f"members of an ensemble are models of the same data: member 0 takes examples of shape "
                f"{list(first.shape)}, member {i} of shape {list(member.shape)}"
            )
        if member.like.dtype != first.like.dtype:
            raise Unmixable(
                f"members of an ensemble compute in one type: member 0 is of {first.like.dtype}, member {i} of "
                f"{member.like.dtype}: call .double() or .float() of one"
            )
        if not math.isclose(member.noise, first.noise, rel_tol=1e-6):
            raise Unmixable(
                f"members of an ensemble are of one law: member 0 is of data with noise {first.noise:g}, member {i} "
                f"with {member.noise:g}: train them with the same data.smoothing and objective.sigma"
            )
        if first.recipe and member.recipe and not _same_columns(first, member):
            raise Unmixable(
                f"members of an ensemble are of rows in the same units: member {i} has other columns, means or scales "
                "than member 0: train them on the same table with the same data.split_seed"
            )


def _same_columns(*members: Model) -> bool:
    """Return whether two models with recipes are of the same columns in the same scale, or neither is of a table."""
    one, other = (Columns.of(found) if (found := member.recipe.get("columns")) else None for member in members)
    return one is other if one is None or other is None else one.matches(other)
