"""How well outlier scores tell other images from those that models were trained on, for one data set."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from scorewise.comparison.seeds import mean_of
from scorewise.figures.results import Claim, Facts, ResultTable
from scorewise.figures.spread import apart, judged, mean_of_shares, seeds_said
from scorewise.outliers import MEANINGS, METRICS

OURS = "AR-CSM"
PUBLISHED: Mapping[str, tuple[str, Mapping[str, float]]] = {
    OURS: ("h", {"svhn": 0.68, "const_uniform": 0.57, "uniform": 0.95}),
    "PixelCNN++": ("log-likelihood", {"svhn": 0.32, "const_uniform": 0.0, "uniform": 1.0}),
    "Glow": ("log-likelihood", {"svhn": 0.24, "const_uniform": 0.0, "uniform": 1.0}),
    "energy": ("energy", {"svhn": 0.63, "const_uniform": 0.30, "uniform": 1.0}),
}
"""The paper's AUROC by model: the statistic, and per set; trained on CIFAR-10."""
OF_PAPER: Mapping[str, str] = {OURS: "minus_h", "PixelCNN++": "nll", "Glow": "nll", "energy": "energy"}
"""Ours that is nearest to it, larger odder."""
BLACK, CONST = "black", "const_uniform"
TWO_SIDED = ("abs_h", "typicality")


@dataclass(frozen=True)
class ScoresBySet:
    """What was found of the models of one data set.

    Args:
        inside: the data that the models were trained on.
        out: outlier sets.
        choose_on: the set that a statistic is chosen on.
        by_seed: by model, what every seed has by metric, statistic and set: value, low and high.
    """

    inside: str
    out: Sequence[str]
    choose_on: str
    by_seed: Mapping[str, Sequence[Mapping[str, Any]]]

    @cached_property
    def found(self) -> dict[str, Any]:
        """By model, metric, statistic and set: value, low and high, of one seed those of its bootstrap over images."""
        return {model: each[0] if len(each) == 1 else _over_seeds(each) for model, each in self.by_seed.items()}

    @property
    def seeds(self) -> str:
        """What intervals are of, for a caption."""
        count = len(next(iter(self.by_seed.values())))
        return "with the interval of 95 % of a bootstrap over images; one seed" if count == 1 else seeds_said(count)

    @cached_property
    def auroc(self) -> dict[str, Any]:
        """AUROC by model, statistic and set."""
        return {model: each["auroc"] for model, each in self.found.items()}

    @cached_property
    def chosen(self) -> dict[str, str]:
        """The statistic of every model that has the highest AUROC on the set to choose on."""
        return {model: _chosen(auroc, self.choose_on) for model, auroc in self.auroc.items()}

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns of both tables."""
        return ("model", "statistic", *self.out, "mean")

    def _labelled(self) -> Iterator[tuple[str, str, str]]:
        """Return every model and statistic, and the statistic as it is shown: the chosen one has a star."""
        for model, auroc in self.auroc.items():
            for name in statistics_of(auroc):
                yield model, name, f"{name} *" if name == self.chosen[model] else name

    def table(self) -> ResultTable:
        """Return AUROC of every statistic, of the chosen one on the other sets, and the paper's."""
        sets = self.columns[2:]
        rows: list[list[Any]] = []
        for model, auroc in self.auroc.items():
            rows += [
                [model, label, *(_cell(auroc[name][each]) for each in sets)]
                for of, name, label in self._labelled()
                if of == model
            ]
            if "chosen" in auroc:
                rows.append([model, f"* on the sets but {self.choose_on}", *_blank(auroc["chosen"], sets)])
            if model in PUBLISHED:
                statistic, paper = PUBLISHED[model]
                of_all = round(sum(paper.values()) / len(paper), 2) if set(paper) <= set(self.out) else None
                shown = {**paper, "mean": of_all}
                cells = ["" if shown.get(each) is None else f"{shown[each]:.2f}" for each in sets]
                rows.append([f"{model}, paper", f"{statistic} (CIFAR-10 in)", *cells])
        return ResultTable("auroc", rows, self.columns, inside=self.inside, seeds=self.seeds)

    def other_metrics(self) -> ResultTable:
        """Return AUPR and FPR of every statistic."""
        rows = []
        for model, name, label in self._labelled():
            found = [self.found[model][metric][name] for metric in METRICS[1:]]
            pairs = [[each[label_of][0] for each in found] for label_of in self.columns[2:]]
            rows.append([model, label, *(f"{aupr:.3f} / {fpr:.3f}" for aupr, fpr in pairs)])
        return ResultTable("others", rows, self.columns, inside=self.inside)

    def claims(self) -> list[Claim]:
        """Return what the paper says of the statistics, as far as these models and sets show it."""
        claims = [*self._of_chosen(), *self._of_black(), *self._of_constant(), *self._of_paper()]
        return [Claim(one.name, one.holds, inside=self.inside, **one.facts) for one in claims]

    def _of_chosen(self) -> Iterator[Claim]:
        if "chosen" in self.auroc.get(OURS, {}):
            others = self.auroc[OURS]["chosen"]["others"]
            by_seed = dict.fromkeys(_chosen(each["auroc"], self.choose_on) for each in self.by_seed[OURS])
            yield Claim("chosen", others[1] > 0.5, statistic=" or ".join(by_seed), others=others)

    def _of_black(self) -> Iterator[Claim]:
        if OURS in self.auroc and BLACK in self.out:
            of_black = {name: sets[BLACK][0] for name, sets in self.auroc[OURS].items() if BLACK in sets}
            worst = min(("minus_h", "h"), key=lambda name: of_black[name])
            two = {name: of_black[name] for name in TWO_SIDED if name in of_black}
            holds = of_black[worst] < 0.5 and all(value >= 0.5 for value in two.values())
            yield Claim("black", holds, worst=worst, value=of_black[worst], two_sided=_listed(two))

    def _of_constant(self) -> Iterator[Claim]:
        for model in ("PixelCNN++", "Glow"):
            if "nll" in self.auroc.get(model, {}):
                nll = self.auroc[model]["nll"][CONST]
                yield Claim("constant", nll[2] < 0.5, model=model, nll=nll)

    def _of_paper(self) -> Iterator[Claim]:
        sets = [name for name in PUBLISHED[OURS][1] if name in self.out]
        of_paper = {model: name for model, name in OF_PAPER.items() if name in self.auroc.get(model, {})}
        means = {
            model: [sum(one["auroc"][name][label][0] for label in sets) / len(sets) for one in self.by_seed[model]]
            for model, name in of_paper.items()
        }
        if OURS in means and len(means) > 1:
            best = [
                max(of_seed) for of_seed in zip(*(each for model, each in means.items() if model != OURS), strict=True)
            ]
            shown = _listed({f"{model} {of_paper[model]}": mean_of(each).mean for model, each in means.items()})
            ahead = apart(means[OURS], best)
            yield judged("paper", ahead, "+.3f", lambda ahead: ahead > 0, sets=" and ".join(sets), means=shown)


def _over_seeds(found_S: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the mean over seeds with its interval by metric, statistic and set, as `nested` has those of one seed."""
    return {
        metric: {
            statistic: {
                label: list(mean_of_shares([found[metric][statistic][label][0] for found in found_S])[:3])
                for label in by_set
            }
            for statistic, by_set in by_statistic.items()
        }
        for metric, by_statistic in found_S[0].items()
    }


def _chosen(auroc: Mapping[str, Any], choose_on: str) -> str:
    """Return the statistic with the highest AUROC on a set."""
    return max(statistics_of(auroc), key=lambda name: auroc[name][choose_on][0])


def statistics_of(auroc: Mapping[str, Any]) -> list[str]:
    """Return the names of the statistics among the names of a test."""
    return [name for name in auroc if name in MEANINGS]


def nested(flat: Mapping[str, float]) -> dict[str, Any]:
    """Return metric -> statistic -> set -> (value, low, high), from names metric/statistic/set."""
    found: dict[str, Any] = {}
    for name, value in flat.items():
        if f"{name}_low" in flat:
            metric, statistic, label = name.split("/")
            interval = [value, flat[f"{name}_low"], flat[f"{name}_high"]]
            found.setdefault(metric, {}).setdefault(statistic, {})[label] = interval
    return found


def _cell(interval: Sequence[float]) -> str:
    value, low, high = interval
    return f"{value:.3f} [{low:.3f}, {high:.3f}]"


def _blank(by_set: Mapping[str, Any], sets: Sequence[str]) -> list[str]:
    """Return the cells of the chosen statistic: nothing where it was chosen, the mean over the others last."""
    return [_cell(by_set[each]) if each in by_set else "" for each in sets[:-1]] + [_cell(by_set["others"])]


def _listed(values: Facts) -> str:
    return ", ".join(f"{name} {value:.3f}" for name, value in values.items())
