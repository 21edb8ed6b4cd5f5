"""Table 1: how well outlier scores of several models tell other images from those they were trained on."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, final

import numpy as np
from matplotlib.figure import Figure as Canvas

from scorewise.figures.figure import Bench, Claim, Figure, Results, Run, Table
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


@final
class Table1(Figure):
    """AUROC, AUPR and FPR at 95 % TPR of every statistic of every model on every outlier set.

    Args:
        out: outlier sets by the data that models were trained on.
        choose_on: the set that a statistic is chosen on.
        images: per set.
        likelihood_images: per set, for likelihoods that are sums over nodes or steps.
        resamples: of the bootstrap.
        words: further words of the test: trainer=gpu, say.
    """

    title = "Outliers told from the training data (table 1)"

    def __init__(
        self,
        out: Mapping[str, Sequence[str]],
        choose_on: str,
        images: int,
        likelihood_images: int,
        resamples: int,
        words: Sequence[str] = (),
    ) -> None:
        self.out, self.choose_on, self.words = out, choose_on, tuple(words)
        self.settings = (
            f"task.choose_on={choose_on}",
            f"task.images={images}",
            f"task.likelihood_images={likelihood_images}",
            f"task.resamples={resamples}",
        )
        self.images, self.likelihood_images = images, likelihood_images

    def _tested(self, bench: Bench, name: str, run: Run, out: Sequence[str]) -> dict[str, Any]:
        """Return AUROC, AUPR and FPR by metric, statistic and set: value, low and high."""
        words = ("task=ood", f"task.out=[{','.join(out)}]", *self.settings, *self.words)
        about = {"run": run.summary["identity"], "words": words}
        return nested(bench.once(f"{name}-{run.seed}", about, partial(run.tested, *words)))

    def measure(self, bench: Bench) -> Results:
        """Return the table of every data set, and whether the statistics do what the paper says."""
        tables: list[Table] = []
        claims: list[Claim] = []
        notes: list[str] = []
        data: dict[str, Any] = {}
        for inside, out in self.out.items():
            runs = {name.partition("/")[2]: few[0] for name, few in bench.runs.items() if name.startswith(f"{inside}/")}
            found = {model: self._tested(bench, f"{inside}/{model}", run, out) for model, run in runs.items()}
            chosen = {model: self._chosen(each["auroc"]) for model, each in found.items()}
            tables += self._tables(inside, out, found, chosen)
            claims += self._claims(inside, out, found, chosen)
            notes += [_of_run(inside, model, run) for model, run in runs.items()]
            data[inside] = {
                "out": list(out),
                "chosen": chosen,
                "found": found,
            }
        return Results(
            tables,
            claims,
            [
                "Larger is odder and outliers are the positive class, for every statistic; 0.5 is chance. "
                + "; ".join(f"{name}: {meaning}" for name, meaning in MEANINGS.items())
                + ".",
                "Every model looks at examples as its own law has them: the noise that it was trained with is added to "
                "all sets alike. PixelCNN++ is of clean 8-bit levels, so it has probabilities and no score. The "
                "likelihood of AR-CSM and its statistics are on the first "
                f"{self.likelihood_images} images per set, all others on the first {self.images}.",
                "The paper gives neither the sign of h nor the noise nor the number of images; its rows are of models "
                "trained on CIFAR-10.",
                *notes,
            ],
            data,
        )

    def _chosen(self, auroc: Mapping[str, Any]) -> str:
        statistics = [name for name in auroc if name in MEANINGS]
        return max(statistics, key=lambda name: auroc[name][self.choose_on][0])

    def _tables(
        self, inside: str, out: Sequence[str], found: Mapping[str, Any], chosen: Mapping[str, str]
    ) -> list[Table]:
        columns = [*out, "mean"]
        rows: list[list[Any]] = []
        both: list[list[Any]] = []
        for model, each in found.items():
            for name in (name for name in each["auroc"] if name in MEANINGS):
                label = f"{name} *" if name == chosen[model] else name
                rows.append([model, label, *(_cell(each["auroc"][name][column]) for column in columns)])
                pairs = [tuple(each[metric][name][column][0] for metric in METRICS[1:]) for column in columns]
                both.append([model, label, *(f"{aupr:.3f} / {fpr:.3f}" for aupr, fpr in pairs)])
            if "chosen" in each["auroc"]:
                rows.append([model, f"* on the sets but {self.choose_on}", *_blank(each["auroc"]["chosen"], columns)])
            if model in PUBLISHED:
                statistic, paper = PUBLISHED[model]
                of_all = round(sum(paper.values()) / len(paper), 2) if set(paper) <= set(out) else None
                shown = {**paper, "mean": of_all}
                cells = ["" if shown.get(column) is None else f"{shown[column]:.2f}" for column in columns]
                rows.append([f"{model}, paper", f"{statistic} (CIFAR-10 in)", *cells])
        caption = (
            f"{inside} in: {{}}, with the interval of 95 % of a bootstrap over images; one training each. "
            f"*: has the highest AUROC on {self.choose_on}, which it is chosen on; mean: over all sets, "
            f"in the chosen row over all sets but {self.choose_on}."
        )
        short = f"{inside} in: AUPR / false positive rate at 95 % of the outliers found (lower is better)."
        return [
            Table(caption.format("AUROC"), ("model", "statistic", *columns), rows),
            Table(short, ("model", "statistic", *columns), both),
        ]

    def _claims(
        self, inside: str, out: Sequence[str], found: Mapping[str, Any], chosen: Mapping[str, str]
    ) -> list[Claim]:
        auroc = {model: each["auroc"] for model, each in found.items()}
        claims: list[Claim] = []
        if OURS in auroc and "chosen" in auroc[OURS]:
            value, low, high = auroc[OURS]["chosen"]["others"]
            claims.append(
                Claim(
                    f"{inside}: {OURS}'s statistic chosen on {self.choose_on} has a mean AUROC above 0.5 on the others",
                    low > 0.5,
                    f"{chosen[OURS]}: {value:.3f} [{low:.3f}, {high:.3f}]",
                )
            )
        if OURS in auroc and BLACK in out:
            one = {name: auroc[OURS][name][BLACK][0] for name in ("minus_h", "h")}
            worst = min(one, key=lambda name: one[name])
            two = {name: auroc[OURS][name][BLACK] for name in TWO_SIDED if name in auroc[OURS]}
            claims.append(
                Claim(
                    f"{inside}: on all-black images one of the one-sided -h and h is below 0.5, no two-sided one is",
                    one[worst] < 0.5 and all(value >= 0.5 for value, _, _ in two.values()),
                    f"{worst} {one[worst]:.3f}; " + ", ".join(f"{name} {two[name][0]:.3f}" for name in two),
                )
            )
        for model in ("PixelCNN++", "Glow"):
            if model in auroc and "nll" in auroc[model]:
                value, low, high = auroc[model]["nll"][CONST]
                claims.append(
                    Claim(
                        f"{inside}: {model} gives constant images a higher likelihood than the data (paper: AUROC 0)",
                        high < 0.5,
                        f"AUROC of nll {value:.3f} [{low:.3f}, {high:.3f}]",
                    )
                )
        sets = [name for name in PUBLISHED[OURS][1] if name in out]
        means = {
            model: sum(auroc[model][name][label][0] for label in sets) / len(sets)
            for model, name in OF_PAPER.items()
            if model in auroc and name in auroc[model]
        }
        if OURS in means and len(means) > 1:
            best = max((model for model in means if model != OURS), key=lambda model: means[model])
            claims.append(
                Claim(
                    f"{inside}: by the mean over {' and '.join(sets)}, {OURS} with -h is ahead of every baseline with "
                    "the paper's statistic, as in the paper",
                    means[OURS] > means[best],
                    ", ".join(f"{model} {OF_PAPER[model]} {mean:.3f}" for model, mean in means.items()),
                )
            )
        return claims

    def draw(self, data: Mapping[str, Any], canvas: Canvas) -> None:
        """Draw every AUROC as a coloured number, one panel per data set; chosen statistics are marked."""
        counts = [sum(len(_rows(each["auroc"])) for each in part["found"].values()) for part in data.values()]
        canvas.set_size_inches(6.2 * len(data) + 0.6, 0.27 * max(counts) + 1.6)
        for i, (inside, part) in enumerate(data.items(), 1):
            columns = [*part["out"], "mean"]
            labels, values = [], []
            for model, each in part["found"].items():
                for name in _rows(each["auroc"]):
                    labels.append(f"{model}  {name}{' *' if name == part['chosen'][model] else ''}")
                    values.append([each["auroc"][name][column][0] for column in columns])
            axes = canvas.add_subplot(1, len(data), i)
            axes.imshow(np.array(values), cmap="RdYlGn", vmin=0, vmax=1, aspect="auto")
            for y, row in enumerate(values):
                for x, value in enumerate(row):
                    axes.text(x, y, f"{value:.2f}", ha="center", va="center", fontsize=7)
            axes.set_yticks(range(len(labels)), labels, fontsize=7)
            axes.set_xticks(range(len(columns)), columns, fontsize=7, rotation=25, ha="right")
            axes.axvline(len(columns) - 1.5, color="white", lw=2)
            axes.set_title(f"AUROC, {inside} in", fontsize=9)


def nested(flat: Mapping[str, float]) -> dict[str, Any]:
    """Return metric -> statistic -> set -> (value, low, high), from names metric/statistic/set."""
    found: dict[str, Any] = {}
    for name, value in flat.items():
        if f"{name}_low" in flat:
            metric, statistic, label = name.split("/")
            interval = [value, flat[f"{name}_low"], flat[f"{name}_high"]]
            found.setdefault(metric, {}).setdefault(statistic, {})[label] = interval
    return found


def _rows(auroc: Mapping[str, Any]) -> list[str]:
    return [name for name in auroc if name in MEANINGS]


def _cell(interval: Sequence[float]) -> str:
    value, low, high = interval
    return f"{value:.3f} [{low:.3f}, {high:.3f}]"


def _blank(by_set: Mapping[str, Any], columns: Sequence[str]) -> list[str]:
    """Return the cells of the chosen statistic: nothing where it was chosen, the mean over the others last."""
    return [_cell(by_set[column]) if column in by_set else "" for column in columns[:-1]] + [_cell(by_set["others"])]


def _of_run(inside: str, model: str, run: Run) -> str:
    noise = run.model.noise
    return (
        f"{inside}, {model}: {run.summary['parameters']:,} parameters, {run.summary['steps']:,} steps, "
        f"{run.summary['seconds'] / 60:.0f} minutes, "
        + (f"examples with noise {noise:g} in [-1, 1]." if noise else "clean examples.")
    )
