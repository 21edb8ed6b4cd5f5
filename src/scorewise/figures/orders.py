"""Orders: the likelihood of one MADE by the order in which it takes the dimensions, and of mixtures over orders."""

import itertools
import math
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, final

import torch
from matplotlib.figure import Figure as Canvas
from torch import Tensor

from scorewise.comparison.seeds import mean_of
from scorewise.densities.ensemble import Ensemble, equal_mixture
from scorewise.figures.bench import Bench
from scorewise.figures.figure import Figure
from scorewise.figures.finished_run import FinishedRun
from scorewise.figures.noisy_copies import noisy_copies
from scorewise.figures.results import Claim, Facts, Results, ResultTable, Text
from scorewise.figures.spread import judged, mean_and_spread, said, seeds_said

FIRST = "raster"
"""The order that the others are compared with."""


@final
class Orders(Figure):
    """Held-out NLL of the same model in several orders, one by one and mixed, on every data set.

    Args:
        copies: draws of the smoothing noise per held-out example.
    """

    def __init__(self, copies: int) -> None:
        self.copies = copies

    def measure(self, bench: Bench) -> Results:
        """Return the NLL of every order and of mixtures, and whether mixing orders pays."""
        tables: list[ResultTable] = []
        claims: list[Claim] = []
        data: dict[str, Any] = {}
        for name in bench.groups:
            runs = bench.of(name)
            identities = {order: [run.summary["identity"] for run in few] for order, few in runs.items()}
            found = bench.once(f"nll-{name}", {"copies": self.copies, "runs": identities}, partial(self._of_data, runs))
            tables.append(_table(name, found, runs[FIRST][0].summary))
            claims += [_claim(name, found, which) for which in found["gains"]]
            data[name] = found
        standing: dict[str, list[Facts]] = {"standing_of_seeds": [], "standing": []}
        for name, found in data.items():
            standing["standing_of_seeds" if "control" in found["gains"] else "standing"].append(_standing(name, found))
        return Results(tables, claims, notes=standing, data=data)

    def _of_data(self, runs: Mapping[str, Sequence[FinishedRun]]) -> dict[str, Any]:
        first = next(iter(runs.values()))[0]
        clean_ND = first.source.examples("test", torch.arange(first.source.count("test")), -1, 0)
        x_BD = noisy_copies(clean_ND, float(first.model.noise), self.copies)
        members = [run.model for few in runs.values() for run in few]
        with torch.no_grad():
            log_q_MB = Ensemble(members).eval().member_log_prob(x_BD).double()
        log_q_OSN = log_q_MB.unflatten(0, (len(runs), -1)).unflatten(-1, (self.copies, -1))
        dims, log_volume = first.source.dims, first.source.log_volume
        return {**compared(list(runs), log_q_OSN), "dims": dims, "log_volume": log_volume}

    def draw(self, data: Mapping[str, Any], text: Text, canvas: Canvas) -> None:
        """Draw a dot per seed and a bar at their mean, one row per order or mixture."""
        canvas.set_size_inches(4.6 * len(data) + 0.6, 4.0)
        for i, (name, found) in enumerate(data.items()):
            axes = canvas.add_subplot(1, len(data), i + 1)
            rows = list(found["nll"].items())
            for place, (row, values) in enumerate(rows):
                colour = "tab:blue" if row in found["orders"] else "tab:orange"
                axes.plot(values, [place] * len(values), "o", color=colour, ms=5, alpha=0.55)
                axes.plot(mean_and_spread(values)[0], place, "|", color=colour, ms=18, mew=2.5)
            axes.axvline(mean_and_spread(found["nll"][found["all"]])[0], color="tab:orange", lw=1, ls=":")
            axes.axhline(len(found["orders"]) - 0.5, color="0.7", lw=0.8)
            axes.set_yticks(range(len(rows)), [row for row, _ in rows])
            axes.invert_yaxis()
            axes.set(xlabel="NLL, nats per held-out example", title=name)
            axes.grid(axis="x", alpha=0.25)
        canvas.suptitle(text.title, fontsize=11)


def compared(orders: Sequence[str], log_q_OSCN: Tensor) -> dict[str, Any]:
    """Return NLL by order and of mixtures, and what a mixture gains, paired by example.

    Args:
        orders: their names.
        log_q_OSCN: log q(x) in nats by order, seed of the training, copy of the noise and held-out example.

    Returns:
        nll (nats by row, one value per seed, of mixtures of seeds one per order) and against (paired differences to the
        first order, by_seed where rows have seeds), and gains.
    """
    count = log_q_OSCN.shape[1]
    mixed_SCN = equal_mixture(log_q_OSCN)
    every = f"mixture of all {len(orders)} orders"
    mean_SCN = log_q_OSCN.mean(0)
    rows_SCN = {**dict(zip(orders, log_q_OSCN, strict=True)), "mean of the orders": mean_SCN, every: mixed_SCN}
    best = max(orders, key=lambda order: float(rows_SCN[order].mean()))
    gains = {"mean": _paired(mixed_SCN, mean_SCN), "best": _paired(mixed_SCN, rows_SCN[best])}
    over_orders: dict[str, Tensor] = {}
    if 1 < count <= len(orders):  # as many orders as there are seeds, so that both mixtures have as many members
        few = list(itertools.combinations(range(len(orders)), count))
        of_orders_SCN = torch.stack([equal_mixture(log_q_OSCN[list(chosen)]) for chosen in few]).mean(0)
        of_seeds_OCN = equal_mixture(log_q_OSCN.transpose(0, 1))
        rows_SCN[f"{count} orders, one seed"] = of_orders_SCN
        over_orders[f"{count} seeds, one order"] = of_seeds_OCN
        gains["control"] = _paired(of_orders_SCN.mean(0, keepdim=True), of_seeds_OCN.mean(0, keepdim=True))
    first_SCN = rows_SCN[orders[0]]
    return {
        "orders": list(orders),
        "all": every,
        "best": best,
        "seeds": count,
        "nll": {row: (-each.mean((1, 2))).tolist() for row, each in {**rows_SCN, **over_orders}.items()},
        "against": {row: _paired(each, first_SCN) for row, each in rows_SCN.items()}
        | {row: _paired(each.mean(0, True), first_SCN.mean(0, True)) for row, each in over_orders.items()},
        "gains": gains,
    }


def _paired(better_SCN: Tensor, worse_SCN: Tensor) -> dict[str, Any]:
    """Return the mean gain in nats, its standard error over examples, and the gain of every seed."""
    gain_SCN = better_SCN - worse_SCN
    gain_N = gain_SCN.mean((0, 1))
    return {
        "gain": float(gain_N.mean()),
        "se": float(gain_N.std()) / math.sqrt(len(gain_N)),
        "by_seed": gain_SCN.mean((1, 2)).tolist(),
    }


def _table(name: str, found: Mapping[str, Any], summary: Mapping[str, Any]) -> ResultTable:
    first, seeds = found["orders"][0], found["seeds"]
    rows = []
    for row, values in found["nll"].items():
        bits = (mean_and_spread(values)[0] + found["log_volume"]) / (found["dims"] * math.log(2))
        against = found["against"][row]
        difference = said(mean_of([-gain for gain in against["by_seed"]]), "+.2f")
        paired = "" if row == first else f"{difference} ({against['se']:.2f})"
        rows.append([row, said(mean_of(values), ".2f"), round(bits, 3), paired])
    return ResultTable("nll", rows, name=name, run=summary, first=first, seeds=seeds_said(seeds))


def _standing(name: str, found: Mapping[str, Any]) -> Facts:
    """Return what the claims leave out: how the data-driven order does, and the best mixture of seeds."""
    nll = {row: mean_and_spread(values)[0] for row, values in found["nll"].items()}
    ranked = sorted(found["orders"], key=lambda order: nll[order])
    facts = {"name": name, "ranked": ", ".join(ranked), "seeds": found["seeds"], "all": nll[found["all"]]}
    if "control" not in found["gains"]:
        return facts
    nll_O = found["nll"][f"{found['seeds']} seeds, one order"]
    best = min(range(len(nll_O)), key=lambda i: nll_O[i])
    return {**facts, "best": found["orders"][best], "nll": nll_O[best]}


def _claim(name: str, found: Mapping[str, Any], which: str) -> Claim:
    """Return whether a mixture gains over the mean of its members, the best order, or one of seeds."""
    gain = found["gains"][which]
    within = ", so within two standard errors of no difference" if abs(gain["gain"]) < 2 * gain["se"] else ""
    better = sum(each > 0 for each in gain["by_seed"])
    facts = {"name": name, "within": within, "better": better, "seeds": found["seeds"], "best": found["best"]}
    if which == "control":  # mixtures of orders have a value per seed, those of seeds one per order
        return Claim(which, gain["gain"] > 0, **gain, **facts)
    return judged(which, mean_of(gain["by_seed"]), ".2f", lambda nats: nats > 0, se=gain["se"], **facts)
