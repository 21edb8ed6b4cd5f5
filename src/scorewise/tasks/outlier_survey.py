"""A model's outlier scores of its own data and of sets of outliers, and how well they tell these apart."""

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple, cast

import torch
from torch import Tensor

from scorewise import outliers
from scorewise.capabilities import CellSurprises
from scorewise.data.source import Source, Split
from scorewise.errors import UserError
from scorewise.heads.model import Model
from scorewise.heads.numerically_normalised import WithLikelihood
from scorewise.objectives.any_order import of_any_order
from scorewise.outliers import usual_surprise
from scorewise.outliers.names import INSIDE
from scorewise.tasks.judged import Judged

OF_LIKELIHOOD = ("nll", "typicality")
BY_DEFAULT = ("multiscale_norms", "typicality", "abs_h")
"""The statistic that predict writes where none is named: the first of these that the model has. All are two-sided."""


class Ordinary(NamedTuple):
    """What statistics need to know of in-distribution examples.

    Args:
        mean_nll: of held-out ones, nats; None where no statistic needs a likelihood, or there is none to report.
        profiles: of the scores of training examples at many levels of noise; None where no statistic needs them.
    """

    mean_nll: float | None = None
    profiles: outliers.ScoreProfiles | None = None

    def scores(self, quantities: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return every statistic that follows from the quantities of examples."""
        return outliers.outlier_scores(quantities, self.mean_nll, self.profiles)


class Reference(NamedTuple):
    """What a user's examples are compared with.

    Args:
        statistic: its name.
        ordinary: what the statistic needs to know of in-distribution examples.
        scores_N: of those.
        held_out: whether they were kept from training; with a data set that has no validation examples they were not.
    """

    statistic: str
    ordinary: Ordinary
    scores_N: Tensor
    held_out: bool


class OutlierSurvey:
    """A model that looks at its own data and at other data sets.

    Args:
        model: with scores, a density or an energy.
        source: that it was trained on.
        out: outlier sets by name, of examples of the model's shape.
        choose_on: the set that a statistic is chosen on; None: the first.
        images: examples per set, at most.
        examiner: that looks at them.

    Raises:
        ValueError: a set of another shape, or a name that does not fit.
    """

    def __init__(
        self,
        model: Model,
        source: Source,
        out: Mapping[str, Source],
        choose_on: str | None,
        images: int,
        examiner: outliers.Examiner,
    ) -> None:
        if choose_on is not None and choose_on not in out:
            raise ValueError(f"task.choose_on={choose_on} is none of the outlier sets {', '.join(out)}")
        for name, other in out.items():
            if tuple(other.shape) != tuple(source.shape):
                raise ValueError(
                    f"task.out: {name} has examples of shape {list(other.shape)}, and this model takes "
                    f"{list(source.shape)}: name data of that shape"
                )
        self.model, self.source, self.out, self.choose_on, self.images = model, source, dict(out), choose_on, images
        self.examiner, self.statistics = examiner, outliers.statistics_of(type(model))
        self.kept: outliers.KeptSurveys | None = None
        """Where surveys of the model's own data are kept; None: they are made anew."""
        self.tell: Callable[[float], None] | None = None
        """Is told the share of a survey of the model's own data that is done."""

    def begin(self) -> None:
        """Find out what cells usually add to nll, of a model of incomplete rows, so that these can be compared."""
        if of_any_order(self.model) and isinstance(self.model, CellSurprises):
            split = self._held_out_split()
            some = torch.arange(min(self.images, self.source.count(split)))
            x_ND = self.source.examples(split, some, -1, self.examiner.seed).to(self.model.mean.device)
            self.examiner = replace(self.examiner, usual_D=usual_surprise(self.model, x_ND))

    def prepare(self, label: str) -> None:
        """Make sure that an outlier set is there.

        Raises:
            UserError: it is missing, or holds no example.
        """
        self.out[label].prepare()
        if not self.out[label].count("test"):
            raise UserError(f"task.out: {label} has no test examples to compare with: name another set.")

    def look(self, x_BD: Tensor, index_B: Tensor) -> dict[str, Tensor]:
        """Return the numbers behind all statistics of a batch of in-distribution examples, of the first ones only."""
        return self.examiner.look(x_BD, index_B, INSIDE, outliers.quantities_behind(self.statistics), self.images)

    def judge(self, inside: Mapping[str, Tensor], resamples: int, seed: int) -> Judged:
        """Return how well the outlier sets are told from in-distribution examples.

        Args:
            inside: numbers behind the statistics of these, see `look`.
            resamples: of the bootstrap.
            seed: of the bootstrap.

        Raises:
            UserError: no statistic is a number.
        """
        held_out = self._held_out(("nll",)) if set(self.statistics) & set(OF_LIKELIHOOD) else {}
        ordinary, statistics = self._ordinary(self.statistics, held_out, inside)
        wanted = outliers.quantities_behind(statistics)
        found = {INSIDE: inside}
        for label, source in self.out.items():
            found[label] = self.examiner.survey(source, "test", label, wanted, self.images)
            self._warn_of_tails(label, found[label])
        scores = {label: ordinary.scores(each) for label, each in found.items()}
        statistics = _that_are_numbers(statistics, scores)
        per_set = {label: {name: each[name] for name in statistics} for label, each in scores.items()}
        choose_on = self.choose_on or next(iter(self.out))
        return Judged(
            {name: {label: each[name] for label, each in scores.items()} for name in statistics},
            outliers.compare(per_set.pop(INSIDE), per_set, choose_on, resamples, seed),
        )

    def _ordinary(
        self, statistics: Sequence[str], held_out: Mapping[str, Tensor], inside: Mapping[str, Tensor] | None = None
    ) -> tuple[Ordinary, tuple[str, ...]]:
        """Return what statistics ask of in-distribution examples, and the statistics that there are.

        Those of a likelihood that may not be reported are left out, with a warning.

        Args:
            statistics: names.
            held_out: quantities of held-out examples; the likelihood where a statistic needs it.
            inside: those of other in-distribution examples.
        """
        profiles = None
        if "profile" in outliers.quantities_behind(statistics):
            # Not held-out ones, which would be among their own nearest and look more ordinary than new examples.
            learned = self._own("train", ("profile",), last=True)
            profiles = outliers.ScoreProfiles(learned["profile"])
        mean_nll, usable = self._held_out_mean(statistics, held_out, inside or {})
        return Ordinary(mean_nll, profiles), usable

    def _held_out_mean(
        self, statistics: Sequence[str], held_out: Mapping[str, Tensor], inside: Mapping[str, Tensor]
    ) -> tuple[float | None, tuple[str, ...]]:
        if not set(statistics) & set(OF_LIKELIHOOD):
            return None, tuple(statistics)
        refused = [self.examiner.refusal(numbers) for numbers in (held_out, inside)]
        if reason := next((one for one in refused if one), None):
            warnings.warn(f"nll and typicality are not reported: {reason}.", stacklevel=2)
            return None, tuple(name for name in statistics if name not in OF_LIKELIHOOD)
        fine_N = held_out["nll"][held_out["nll"].isfinite()]
        if lost := len(held_out["nll"]) - len(fine_N):
            of = f"{lost} of {len(held_out['nll'])} held-out examples"
            warnings.warn(f"nll of {of} is no finite number, and left out of typicality's mean.", stacklevel=2)
        return float(fine_N.mean()), tuple(statistics)

    def _held_out(self, wanted: Sequence[str]) -> dict[str, Tensor]:
        return self._own(self._held_out_split(), wanted)

    def _own(self, split: Split, wanted: Sequence[str], last: bool = False) -> dict[str, Tensor]:
        if self.kept is not None:
            return self.kept.survey(self.examiner, self.source, split, wanted, self.images, last, self.tell)
        return self.examiner.survey(self.source, split, split, wanted, self.images, last, self.tell)

    def _held_out_split(self) -> Split:
        return "val" if self.source.count("val") else "train"

    def _warn_of_tails(self, label: str, found: Mapping[str, Tensor]) -> None:
        if "outside" not in found:
            return
        likelihood = cast(WithLikelihood, self.examiner.normalised).normaliser()
        beyond = int((found["outside"] > likelihood.largest_tail).sum())
        if beyond:
            warnings.warn(
                f"nll of {beyond} of {len(found['outside'])} examples of {label} rests on a conditional with more than "
                f"{likelihood.largest_tail:g} of its mass outside the range of the likelihood.",
                stacklevel=2,
            )

    def reference(self, statistic: str | None) -> Reference:
        """Return the outlier scores of held-out in-distribution examples, which percentiles refer to.

        Args:
            statistic: its name; None: chosen on `choose_on` where that is given, else see `BY_DEFAULT`.

        Raises:
            UserError: the statistic needs a likelihood, and the model has none to report.
        """
        self.begin()
        wanted = (statistic,) if statistic else self.statistics if self.choose_on else (self._by_default(),)
        found = self._held_out(outliers.quantities_behind(wanted))
        name = wanted[0] if len(wanted) == 1 else self._chosen(found)
        ordinary, usable = self._ordinary((name,), found)
        if not usable:
            raise UserError(
                f"task.statistic={name} needs a likelihood, which this model has none of to report (the warning says "
                "why): use task.statistic=abs_h."
            )
        scores_N, held_out = ordinary.scores(found)[name], self.source.count("val") > 0
        if lost := int(scores_N.isnan().sum()):
            of = f"{lost} of {len(scores_N)} examples that others are compared with"
            warnings.warn(f"{name} of {of} is not a number: percentiles and p-values leave these out.", stacklevel=2)
        return Reference(name, ordinary, scores_N, held_out)

    def _by_default(self) -> str:
        return next(one for one in BY_DEFAULT if one in self.statistics)

    def _chosen(self, held_out: Mapping[str, Tensor]) -> str:
        """Return the statistic that tells the outlier set `choose_on` best from held-out examples."""
        label = cast(str, self.choose_on)
        self.prepare(label)
        ordinary, statistics = self._ordinary(self.statistics, held_out)
        wanted = outliers.quantities_behind(statistics)
        inside = ordinary.scores(held_out)
        surveyed = self.examiner.survey(self.out[label], "test", label, wanted, self.images)
        outside = ordinary.scores(surveyed)
        names = _that_are_numbers(statistics, {"held-out": inside, label: outside})
        return max(names, key=lambda name: outliers.detection(inside[name], outside[name])["auroc"])

    def score(self, x_BD: Tensor, index_B: Tensor, reference: Reference) -> Tensor:
        """Return the outlier scores of other examples by the statistic of a reference, shape (B,)."""
        x_BD = self.examiner.noisy(x_BD, index_B, "predict")
        found = self.examiner.quantities(x_BD, outliers.quantities_behind((reference.statistic,)))
        return reference.ordinary.scores(found)[reference.statistic]


def _that_are_numbers(statistics: Sequence[str], scores: Mapping[str, Mapping[str, Tensor]]) -> tuple[str, ...]:
    """Return the statistics whose scores are numbers in every set; the others are named in a warning.

    Raises:
        UserError: there are none.
    """
    usable = []
    for name in statistics:
        bad = {label: int(each[name].isnan().sum()) for label, each in scores.items()}
        if any(bad.values()):
            where = ", ".join(f"{count} of {label}" for label, count in bad.items() if count)
            warnings.warn(f"{name} is not reported: it is not a number for examples ({where}).", stacklevel=2)
        else:
            usable.append(name)
    if not usable:
        raise UserError("this model gives no outlier score that is a number: train it again, with more data.smoothing.")
    return tuple(usable)
