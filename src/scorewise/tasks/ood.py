"""Outlier scores: how well a model tells its data from other data, and the scores of a user's own examples."""

import warnings
from collections.abc import Mapping, Sequence
from typing import Any, final

import torch
from torch import Tensor
from torchmetrics import CatMetric

from scorewise import outliers
from scorewise.data.datamodule import Batch
from scorewise.data.source import Source, Split
from scorewise.errors import UserError
from scorewise.heads.model import Model
from scorewise.objectives.objective import Objective
from scorewise.outliers.detection import FOUND
from scorewise.tasks.optimisation import Optimisation
from scorewise.tasks.score_task import ScoreTask

INSIDE = "test"
"""What the in-distribution examples are called beside the outlier sets."""
ENDINGS = ("_se", "_low", "_high")
"""What follows the names of numbers for their standard errors and the ends of their intervals."""
RESERVED = (INSIDE, "mean", "others")
NO_SET = "task.out is empty: name at least one data option to compare with, task.out=[uniform] say"
OF_LIKELIHOOD = ("nll", "typicality")
BY_DEFAULT = ("typicality", "abs_h")
"""The statistic that predict writes where none is named: the first of these that the model has. Both are two-sided."""


@final
class OODScoring(ScoreTask):
    """Outlier scores, larger odder, and how well they tell other data sets from the one that was learned.

    Test metrics, named metric/statistic/set, each with a 95 % bootstrap interval (_low, _high) and standard error:
    auroc, aupr and fpr95 with outliers as the positive class, per set and their mean over sets. The statistic with the
    highest AUROC on one set is `chosen`, and reported on the others alone.

    Args:
        model, objective, optimisation, source, smoothing, seed, monitor: see `ScoreTask`.
        out: outlier sets by name, of examples of the model's shape; None where nothing is to be compared.
        choose_on: the set that a statistic is chosen on; None: the first.
        images: examples per set, at most.
        likelihood_images: the same for likelihoods that are sums over nodes or steps.
        noise: standard deviation of the noise that examples of every set get; None: that of the law of the model.
        resamples: of the bootstrap.
        statistic: that predict writes; None: chosen on `choose_on` where that is given, else see `BY_DEFAULT`.

    Raises:
        ValueError: a set of another shape, or a name that does not fit.
    """

    def __init__(
        self,
        model: Model,
        objective: Objective,
        optimisation: Optimisation,
        source: Source,
        *,
        smoothing: float,
        seed: int,
        out: Mapping[str, Source] | None,
        monitor: str = "val/loss",
        choose_on: str | None = None,
        images: int = 1000,
        likelihood_images: int = 200,
        noise: float | None = None,
        resamples: int = 1000,
        statistic: str | None = None,
    ) -> None:
        super().__init__(model, objective, optimisation, source, smoothing=smoothing, seed=seed, monitor=monitor)
        if sentence := self.refusal(type(model), statistic=statistic):
            raise ValueError(sentence)
        out = out or {}
        if choose_on is not None and choose_on not in out:
            raise ValueError(f"task.choose_on={choose_on} is none of the outlier sets {', '.join(out)}")
        if noise is not None and not 0 <= noise < float("inf"):
            raise ValueError(f"task.noise={noise} must be a standard deviation of at least 0, or null")
        for name, other in out.items():
            if tuple(other.shape) != tuple(source.shape):
                raise ValueError(
                    f"task.out: {name} has examples of shape {list(other.shape)}, and this model takes "
                    f"{list(source.shape)}: name data of that shape"
                )
        self.out, self.choose_on, self.images, self.resamples = dict(out), choose_on, images, resamples
        self.statistic = statistic
        self.noise = float(model.noise if noise is None else noise)
        self.examiner = outliers.Examiner(model, self.noise, seed, likelihood_images)
        self.statistics = outliers.statistics_of(type(model))
        self._inside: dict[str, CatMetric] = {}
        self._scores: dict[str, dict[str, Tensor]] = {}
        self._found: outliers.DetectionResults | None = None
        self._reference: Tensor | None = None
        self._mean_nll: float | None = None

    @classmethod
    def refusal(
        cls, head: type, *, out: Sequence[Any] | None = None, statistic: str | None = None, **settings: Any
    ) -> str | None:
        """Return why models of a head have no such outlier scores, as one sentence, or None where they have."""
        if out is not None and not out:
            return NO_SET
        known = outliers.statistics_of(head)
        if not known:
            return f"task=ood needs scores, a density or an energy, and {head.__name__} has none of them"
        if statistic is not None and statistic not in known:
            return f"task.statistic={statistic} is none of those of {head.__name__}: {', '.join(known)}"
        return None

    @property
    def name(self) -> str:
        """What the test is called, for files."""
        return "ood"

    def setup(self, stage: str) -> None:
        """Make sure that outlier sets are there before anything is computed.

        Raises:
            UserError: there is none, one is missing, or one holds no example.
        """
        super().setup(stage)
        if stage != "predict":
            if not self.out:
                raise UserError(f"{NO_SET}.")
            for label, source in self.out.items():
                _prepare(label, source)

    def on_test_start(self) -> None:
        """Forget an earlier test."""
        super().on_test_start()
        self._inside, self._scores, self._found = {}, {}, None

    def test_step(self, batch: Batch, batch_idx: int) -> None:
        """Collect the numbers of in-distribution examples, of as many as are wanted."""
        wanted = outliers.quantities_behind(self.statistics)
        for name, value_B in self.examiner.look(batch.x_BD, batch.index_B, INSIDE, wanted, self.images).items():
            self._inside.setdefault(name, CatMetric().to(self.device)).update(value_B)

    def on_test_epoch_end(self) -> None:
        """Compare every outlier set with the in-distribution examples, and log how well they are told apart."""
        inside = {name: _whole(metric) for name, metric in self._inside.items()}
        mean_nll, statistics = self._held_out_mean(self.statistics, inside)
        wanted = outliers.quantities_behind(statistics)
        found = {INSIDE: inside}
        for label, source in self.out.items():
            found[label] = self.examiner.survey(source, "test", label, wanted, self.images)
            self._warn_of_tails(label, found[label])
        scores = {label: outliers.outlier_scores(each, mean_nll) for label, each in found.items()}
        statistics = _that_are_numbers(statistics, scores)
        self._scores = {name: {label: each[name] for label, each in scores.items()} for name in statistics}
        per_set = {label: {name: each[name] for name in statistics} for label, each in scores.items()}
        self._found = outliers.compare(
            per_set.pop(INSIDE), per_set, self.choose_on or next(iter(self.out)), self.resamples, self.seed
        )
        for name, estimate in _flat(self._found).items():
            self.log(f"test/{name}", estimate.value)

    def _held_out_mean(
        self, statistics: Sequence[str], inside: Mapping[str, Tensor] | None = None
    ) -> tuple[float | None, tuple[str, ...]]:
        """Return the mean nll of held-out examples, where statistics ask for it, and the statistics that there are.

        Those of a likelihood that may not be reported are left out, with a warning.
        """
        if not set(statistics) & set(OF_LIKELIHOOD):
            return None, tuple(statistics)
        reference = self._survey_reference(("nll",))
        refused = [self.examiner.refusal(dict(numbers)) for numbers in (reference, inside or {})]
        if reason := next((one for one in refused if one), None):
            warnings.warn(f"nll and typicality are not reported: {reason}.", stacklevel=2)
            return None, tuple(name for name in statistics if name not in OF_LIKELIHOOD)
        return float(reference["nll"].mean()), tuple(statistics)

    def _survey_reference(self, wanted: Sequence[str]) -> dict[str, Tensor]:
        split: Split = "val" if self.source.count("val") else "train"
        return self.examiner.survey(self.source, split, split, wanted, self.images)

    def _warn_of_tails(self, label: str, found: Mapping[str, Tensor]) -> None:
        model = self.examiner.normalised
        if model is None or "outside" not in found:
            return
        likelihood = model.normaliser()
        beyond = int((found["outside"] > likelihood.largest_tail).sum())
        if beyond:
            warnings.warn(
                f"nll of {beyond} of {len(found['outside'])} examples of {label} rests on a conditional with more than "
                f"{likelihood.largest_tail:g} of its mass outside the range of the likelihood.",
                stacklevel=2,
            )

    def intervals(self) -> dict[str, float]:
        """Return the ends of the 95 % intervals (_low, _high) and the standard errors (_se) of all numbers."""
        flat = _flat(self._found) if self._found else {}
        return {f"{name}{ending}": getattr(each, ending[1:]) for name, each in flat.items() for ending in ENDINGS}

    def histograms(self) -> dict[str, dict[str, Tensor]]:
        """Return the outlier scores of the last test by statistic and set, the in-distribution ones first."""
        return self._scores

    def remarks(self) -> dict[str, Any]:
        """Return what outlier sets say about themselves, after a test."""
        return {label: said for label, source in self.out.items() if self._found and (said := source.remarks())}

    def conventions(self) -> dict[str, str]:
        """Return what metrics, statistics and sets mean."""
        noise = f" + N(0, {self.noise:g}^2)" if self.noise else ""
        likelihoods = self.examiner.most("nll", self.images)
        fewer = f", at most {likelihoods} per set" if likelihoods < self.images else ""
        texts = {
            "auroc": "area under the ROC curve, outliers positive, larger scores odder; .5 is chance",
            "aupr": "area under the precision-recall curve (average precision), outliers positive",
            "fpr95": f"share of in-distribution examples above what {100 * FOUND:g} % of the outliers exceed",
            "mean": "over all sets",
            **{name: f"{outliers.MEANINGS[name]}{fewer if name in OF_LIKELIHOOD else ''}" for name in self.statistics},
            **{label: f"up to {self.images} examples of {type(s).__name__}{noise}" for label, s in self.out.items()},
        }
        if self._found is not None:
            found = self._found
            texts["chosen"] = (
                f"{found.chosen}, which has the highest AUROC on {found.chosen_on}; on the other sets alone"
            )
            texts["others"] = f"over all sets but {found.chosen_on}"
        return texts

    def on_predict_start(self) -> None:
        """Score held-out in-distribution examples, which percentiles refer to.

        Raises:
            UserError: the statistic needs a likelihood, and the model has none to report.
        """
        name = self.statistic or self._chosen() or next(one for one in BY_DEFAULT if one in self.statistics)
        mean_nll, usable = self._held_out_mean((name,))
        if not usable:
            raise UserError(
                f"task.statistic={name} needs a likelihood, which this model has none of to report (the warning says "
                "why): use task.statistic=abs_h."
            )
        self.statistic, self._mean_nll = name, mean_nll
        self._reference = outliers.outlier_scores(
            self._survey_reference(outliers.quantities_behind((name,))), mean_nll
        )[name]

    def _chosen(self) -> str | None:
        """Return the statistic that tells one outlier set best from held-out examples; None where none is named."""
        if self.choose_on is None:
            return None
        label, source = self.choose_on, self.out[self.choose_on]
        _prepare(label, source)
        mean_nll, statistics = self._held_out_mean(self.statistics)
        wanted = outliers.quantities_behind(statistics)
        inside, outside = (
            outliers.outlier_scores(found, mean_nll)
            for found in (
                self._survey_reference(wanted),
                self.examiner.survey(source, "test", label, wanted, self.images),
            )
        )
        names = _that_are_numbers(statistics, {"held-out": inside, label: outside})
        return max(names, key=lambda name: outliers.detection(inside[name], outside[name])["auroc"])

    def predict_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Return the outlier score of every example, shape (B,)."""
        assert self.statistic is not None
        x_BD = self.examiner.noisy(batch.x_BD, batch.index_B, "predict")
        numbers = outliers.quantities(self.model, x_BD, outliers.quantities_behind((self.statistic,)))
        return outliers.outlier_scores(numbers, self._mean_nll)[self.statistic]

    def percentiles(self, score_B: Tensor) -> Tensor:
        """Return where scores lie among those of held-out examples, 0 to 100, once prediction has started."""
        assert self._reference is not None
        return outliers.percentiles(score_B.cpu(), self._reference)


def _prepare(label: str, source: Source) -> None:
    source.prepare()
    if not source.count("test"):
        raise UserError(f"task.out: {label} has no test examples to compare with: name another set.")


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


def _flat(found: outliers.DetectionResults) -> dict[str, outliers.Estimate]:
    """Return every number as metric/statistic/set."""
    flat = {
        f"{metric}/{name}/{label}": by_set[label][metric]
        for metric in outliers.METRICS
        for name, by_set in found.estimates.items()
        for label in by_set
    }
    if found.others is not None:
        by_set = found.estimates[found.chosen]
        for metric in outliers.METRICS:
            others = {label: by_set[label][metric] for label in by_set if label not in (found.chosen_on, "mean")}
            flat |= {f"{metric}/chosen/{label}": estimate for label, estimate in others.items()}
            flat[f"{metric}/chosen/others"] = found.others[metric]
    return flat


def _whole(metric: CatMetric) -> Tensor:
    return torch.as_tensor(metric.compute()).reshape(-1).cpu()
