"""Outlier scores: how well a model tells its data from other data, and the scores of a user's own examples."""

import warnings
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, final

from scorewise import outliers
from scorewise.data.datamodule import Batch
from scorewise.data.source import Source
from scorewise.errors import UserError, names_of
from scorewise.outliers.detection import FOUND, LEAST
from scorewise.outliers.names import ENDINGS
from scorewise.ranges import AtLeast, Count, Whole, within_ranges
from scorewise.tasks.held_out import HeldOutNumber
from scorewise.tasks.judged import Judged
from scorewise.tasks.outlier_scores import OutlierScores
from scorewise.tasks.outlier_survey import OF_LIKELIHOOD, OutlierSurvey
from scorewise.tasks.report import Report
from scorewise.tasks.score_task import ScoreBundle, ScoreTask

WHOLE = "a missing cell counting as the usual one of its column"
NO_SET = "task.out is empty: name at least one data option to compare with, task.out=[uniform] say"


@final
class OODScoring(ScoreTask):
    """Outlier scores, larger odder, and how well they tell other data sets from the one that was learned.

    Test metrics, named metric/statistic/set, each with a 95 % bootstrap interval (_low, _high) and standard error where
    both sides have 10 examples:
    auroc, aupr and fpr95 with outliers as the positive class, per set and their mean over sets. The statistic with the
    highest AUROC on one set is `chosen`, and reported on the others alone.

    Args:
        bundle: model, objective, optimisation, data and seed.
        out: outlier sets by name, of examples of the model's shape; None where nothing is to be compared.
        choose_on: the set that a statistic is chosen on; None: the first.
        images: examples per set, at most.
        likelihood_images: the same for likelihoods that are sums over nodes or steps.
        noise: standard deviation of the noise that examples of every set get; None: that of the law of the model.
        resamples: of the bootstrap.
        statistic: that predict writes; None: see `OutlierSurvey.reference`.
        cells: rows of a table whose cells predict explains, and images whose places it does, the oddest; 0: of none.

    Raises:
        ValueError: a set of another shape, or a name that does not fit.
    """

    @within_ranges
    def __init__(
        self,
        bundle: ScoreBundle,
        *,
        out: Mapping[str, Source] | None,
        choose_on: str | None = None,
        images: Count = 1000,
        likelihood_images: Count = 200,
        noise: Annotated[float, AtLeast(0, "it is a standard deviation")] | None = None,
        resamples: Count = 1000,
        statistic: str | None = None,
        cells: Whole = 200,
    ) -> None:
        super().__init__(bundle)
        model = bundle.model
        if sentence := self.refusal(type(model), statistic=statistic):
            raise ValueError(sentence)
        self.images, self.resamples = images, resamples
        self.noise = float(model.noise if noise is None else noise)
        examiner = outliers.Examiner(model, self.noise, self.seed, likelihood_images)
        self.survey = OutlierSurvey(model, self.source, out or {}, choose_on, images, examiner)
        self._prediction = OutlierScores(self.survey, statistic, cells)
        self._inside: dict[str, HeldOutNumber] = {}
        self._judged: Judged | None = None

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

    @property
    def prediction(self) -> OutlierScores:
        """The outlier scores of a user's examples."""
        return self._prediction

    def setup(self, stage: str) -> None:
        """Make sure that outlier sets are there before anything is computed.

        Raises:
            UserError: there is none, one is missing, or one holds no example.
        """
        super().setup(stage)
        if stage != "predict":
            if not self.survey.out:
                raise UserError(f"{NO_SET}.")
            for label in self.survey.out:
                self.survey.prepare(label)

    def on_test_start(self) -> None:
        """Forget an earlier test."""
        super().on_test_start()
        self._inside, self._judged = {}, None
        self.survey.begin()

    def test_step(self, batch: Batch, batch_idx: int) -> None:
        """Collect the numbers of in-distribution examples, of as many as are wanted."""
        for name, value_B in self.survey.look(batch.x_BD, batch.index_B).items():
            self._inside.setdefault(name, HeldOutNumber(self.device)).add(value_B, batch.index_B[: len(value_B)])

    def on_test_epoch_end(self) -> None:
        """Compare every outlier set with the in-distribution examples, and log how well they are told apart."""
        inside = {name: number.values().cpu() for name, number in self._inside.items()}
        self._judged = self.survey.judge(inside, self.resamples, self.seed)
        for name, estimate in self._judged.estimates().items():
            self.log(f"test/{name}", estimate.value)
        if few := self._judged.without_interval():
            sets = list(dict.fromkeys(label for labels in few.values() for label in labels))
            warnings.warn(
                f"{', '.join(few)} of {names_of(sets)}: no intervals, which need at least {LEAST} examples of the data "
                "and of a set: raise task.images, or task.likelihood_images for likelihoods.",
                stacklevel=2,
            )

    def found(self) -> Report:
        """Return a histogram of every statistic by set, the ends of all intervals, and what sets say of themselves."""
        if self._judged is None:
            return Report()
        numbers = {name: one for name, one in self._judged.estimates().items() if one.has_interval}
        few = self._judged.without_interval()
        said = {label: text for label, source in self.survey.out.items() if (text := source.remarks())}
        return Report(
            histograms=self._judged.scores,
            intervals={f"{name}{end}": getattr(one, end[1:]) for name, one in numbers.items() for end in ENDINGS},
            remarks={**said, **({f"without_interval (fewer than {LEAST} examples)": few} if few else {})},
        )

    def conventions(self) -> dict[str, str]:
        """Return what metrics, statistics and sets mean."""
        noise = f" + N(0, {self.noise:g}^2)" if self.noise else ""
        likelihoods = self.survey.examiner.most("nll", self.images)
        fewer = f", at most {likelihoods} per set" if likelihoods < self.images else ""
        whole = "" if self.survey.examiner.usual_D is None else f", {WHOLE}"
        of_likelihood = f"{whole}{fewer}"
        known, sets = self.survey.statistics, self.survey.out
        texts = {
            "auroc": "area under the ROC curve, outliers positive, larger scores odder; .5 is chance",
            "aupr": "area under the precision-recall curve (average precision), outliers positive",
            "fpr95": f"share of in-distribution examples above what {100 * FOUND:g} % of the outliers exceed",
            "mean": "over all sets",
            **{name: f"{outliers.MEANINGS[name]}{of_likelihood if name in OF_LIKELIHOOD else ''}" for name in known},
            **{label: f"up to {self.images} examples of {type(s).__name__}{noise}" for label, s in sets.items()},
        }
        if self._judged is not None:
            detected = self._judged.detected
            tied = f" (no higher than {', '.join(detected.tied)}: it is only the first)" if detected.tied else ""
            texts["chosen"] = (
                f"{detected.chosen}, which has the highest AUROC on {detected.chosen_on}{tied}; on the other sets alone"
            )
            texts["others"] = f"over all sets but {detected.chosen_on}"
        return texts
