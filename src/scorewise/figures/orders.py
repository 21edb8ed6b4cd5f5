"""Orders: the likelihood of one MADE by the order in which it takes the dimensions, and of mixtures over orders."""

import itertools
import math
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, final

import torch
from matplotlib.figure import Figure as Canvas
from torch import Tensor

from scorewise.densities.ensemble import Ensemble, equal_mixture
from scorewise.figures.figure import Bench, Claim, Figure, Results, Run, Table, mean_and_spread
from scorewise.noise import Draws, smoothing_noise

FIRST = "raster"
"""The order that the others are compared with."""


@final
class Orders(Figure):
    """Held-out NLL of the same model in several orders, one by one and mixed, on every data set.

    Args:
        copies: draws of the smoothing noise per held-out example.
    """

    title = "NLL by order of the dimensions, and of mixtures over orders"

    def __init__(self, copies: int) -> None:
        self.copies = copies

    def measure(self, bench: Bench) -> Results:
        """Return the NLL of every order and of mixtures, and whether mixing orders pays."""
        tables: list[Table] = []
        claims: list[Claim] = []
        data: dict[str, Any] = {}
        for name in dict.fromkeys(each.partition("/")[0] for each in bench.runs):
            runs = {each.partition("/")[2]: few for each, few in bench.runs.items() if each.partition("/")[0] == name}
            identities = {order: [run.summary["identity"] for run in few] for order, few in runs.items()}
            found = bench.once(f"nll-{name}", {"copies": self.copies, "runs": identities}, partial(self._of_data, runs))
            tables.append(_table(name, found, runs[FIRST][0].summary, self.copies))
            claims += _claims(name, found)
            data[name] = found
        return Results(
            tables,
            claims,
            [
                "A mixture is never worse than the mean of its members, by Jensen's inequality: the claim checks that, "
                "and its number is what mixing brings. Whether that is the orders' merit or any mixture's is what the "
                "mixtures of seeds of one order are for.",
                "Weights are those of the best validation. The data-driven order is found from training examples. The "
                "best single order is picked on the held-out examples themselves, in its favour.",
                "Mixtures of few members: the mean over all choices of orders with its spread over seeds, and the mean "
                "over orders with their spread.",
                "A mixture of M members has M times the parameters and the training time of one; no single model of "
                "that size was trained.",
                *(_standing(name, found) for name, found in data.items()),
            ],
            data,
        )

    def _of_data(self, runs: Mapping[str, Sequence[Run]]) -> dict[str, Any]:
        first = next(iter(runs.values()))[0]
        x_BD = self._held_out(first.source, float(first.model.noise))
        members = [run.model for few in runs.values() for run in few]
        with torch.no_grad():
            log_q_MB = Ensemble(members).eval().member_log_prob(x_BD).double()
        log_q_OSN = log_q_MB.unflatten(0, (len(runs), -1)).unflatten(-1, (self.copies, -1))
        dims, log_volume = first.source.dims, first.source.log_volume
        return {**compared(list(runs), log_q_OSN), "dims": dims, "log_volume": log_volume}

    def _held_out(self, source: Any, smoothing: float) -> Tensor:
        """Return the test examples with each copy of the noise, all examples copy by copy."""
        index_N = torch.arange(source.count("test"))
        clean_ND = source.examples("test", index_N, -1, 0)
        noises = [smoothing_noise(Draws.of(copy, -1, index_N), clean_ND) for copy in range(self.copies)]
        return torch.cat([clean_ND + smoothing * noise_ND for noise_ND in noises])

    def draw(self, data: Mapping[str, Any], canvas: Canvas) -> None:
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
        canvas.suptitle(self.title, fontsize=11)


def compared(orders: Sequence[str], log_q_OSCN: Tensor) -> dict[str, Any]:
    """Return NLL by order and of mixtures, and what a mixture gains, paired by example.

    Args:
        orders: their names.
        log_q_OSCN: log q(x) in nats by order, seed of the training, copy of the noise and held-out example.

    Returns:
        nll (nats by row, one value per seed) and against (paired differences to the first order), and gains.
    """
    count = log_q_OSCN.shape[1]
    mixed_SCN = equal_mixture(log_q_OSCN)
    every = f"mixture of all {len(orders)} orders"
    mean_SCN = log_q_OSCN.mean(0)
    rows_SCN = {**dict(zip(orders, log_q_OSCN, strict=True)), "mean of the orders": mean_SCN, every: mixed_SCN}
    best = max(orders, key=lambda order: float(rows_SCN[order].mean()))
    gains = {"mean": _paired(mixed_SCN, mean_SCN), "best": _paired(mixed_SCN, rows_SCN[best])}
    if 1 < count <= len(orders):  # as many orders as there are seeds, so that both mixtures have as many members
        few = list(itertools.combinations(range(len(orders)), count))
        of_orders_SCN = torch.stack([equal_mixture(log_q_OSCN[list(chosen)]) for chosen in few]).mean(0)
        of_seeds_OCN = equal_mixture(log_q_OSCN.transpose(0, 1))
        rows_SCN[f"{count} orders, one seed"] = of_orders_SCN
        rows_SCN[f"{count} seeds, one order"] = of_seeds_OCN
        gains["control"] = _paired(of_orders_SCN.mean(0, keepdim=True), of_seeds_OCN.mean(0, keepdim=True))
    first_SCN = rows_SCN[orders[0]]
    return {
        "orders": list(orders),
        "all": every,
        "best": best,
        "seeds": count,
        "nll": {row: (-each.mean((1, 2))).tolist() for row, each in rows_SCN.items()},
        "against": {
            row: _paired(each.mean(0, keepdim=True), first_SCN.mean(0, keepdim=True)) for row, each in rows_SCN.items()
        },
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


def _table(name: str, found: Mapping[str, Any], summary: Mapping[str, Any], copies: int) -> Table:
    dims, log_volume = found["dims"], found["log_volume"]
    rows = []
    for row, values in found["nll"].items():
        mean, spread = mean_and_spread(values)
        gain, se = found["against"][row]["gain"], found["against"][row]["se"]
        bits = (mean + log_volume) / (dims * math.log(2))
        paired = "" if row == found["orders"][0] else f"{-gain:+.2f} ({se:.2f})"
        rows.append([row, f"{mean:.2f} ({spread:.2f})", round(bits, 3), paired])
    conventions = summary["conventions"]
    seeds = f"{found['seeds']} seeds" if found["seeds"] > 1 else "one seed"
    return Table(
        f"{name}: held-out, {summary['steps']:,} steps, {summary['parameters']:,} parameters per member, {copies} "
        f"draws of the noise per example. nll: {conventions['nll']}, mean (standard deviation) over {seeds}; "
        f"bits_per_dim: {conventions['bits_per_dim']}; "
        f"against {found['orders'][0]}: difference of nll (standard error over held-out examples, paired).",
        ("order", "nll", "bits_per_dim", f"against {found['orders'][0]}"),
        rows,
    )


def _standing(name: str, found: Mapping[str, Any]) -> str:
    """Return what the claims leave out: how the data-driven order does, and the best mixture of seeds."""
    nll = {row: mean_and_spread(values)[0] for row, values in found["nll"].items()}
    ranked = sorted(found["orders"], key=lambda order: nll[order])
    sentence = f"{name}: best to worst by the mean are {', '.join(ranked)}"
    if "control" in found["gains"]:
        seeds_O = found["nll"][f"{found['seeds']} seeds, one order"]
        best = min(range(len(seeds_O)), key=lambda i: seeds_O[i])
        sentence += (
            f"; of the mixtures of {found['seeds']} seeds the best is that of {found['orders'][best]} "
            f"({seeds_O[best]:.2f} nats, the mixture over all orders {nll[found['all']]:.2f})"
        )
    return f"{sentence}."


def _claims(name: str, found: Mapping[str, Any]) -> list[Claim]:
    def claim(sentence: str, which: str, more: str = "") -> Claim:
        gain = found["gains"][which]
        seeds = f", better in {sum(each > 0 for each in gain['by_seed'])} of {len(gain['by_seed'])} seeds"
        measured = f"by {gain['gain']:.2f} nats, standard error over examples {gain['se']:.2f}"
        if abs(gain["gain"]) < 2 * gain["se"]:
            measured += ", so within two standard errors of no difference"
        return Claim(f"{name}: {sentence}", gain["gain"] > 0, measured + (seeds if which != "control" else "") + more)

    claims = [
        claim("the mixture over orders is better than the mean of its members", "mean"),
        claim("the mixture over orders is better than the best single order", "best", f"; best is {found['best']}"),
    ]
    if "control" in found["gains"]:
        count = found["seeds"]
        claims.append(claim(f"{count} orders mixed are better than {count} seeds of one order mixed", "control"))
    return claims
