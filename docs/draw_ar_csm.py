"""The picture of the method: context, query and conditional score of one pixel of a digit.

    python docs/draw_ar_csm.py runs/csm-made-digits

The run is `python src/train.py`. Colours are Okabe and Ito's, which colour-blind readers tell apart.
"""

import sys
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, Rectangle

import scorewise
from scorewise.data import Digits
from scorewise.heads import ConditionalScore

BLUE, ORANGE, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#9a9a9a"
FIGURE = Path(__file__).parent / "figures/ar_csm.png"
SIDE = 8
EXAMPLE, PIXEL = 3, 29
"""An example of the test split, and one of its pixels, counted row by row."""


def curves(model: ConditionalScore, x_D: torch.Tensor, d: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return queries, the scores of dimension d there, and the conditional density that follows, each of shape (Q,)."""
    query_Q = torch.linspace(-1.9, 1.9, 400)
    x_QD = x_D.expand(len(query_Q), -1).clone()
    context_QDF = model.context(x_QD)
    x_QD[:, d] = query_Q
    with torch.no_grad():
        score_Q = model.conditional_score(x_QD, context_QDF)[:, d]
    log_q_Q = torch.cumulative_trapezoid(score_Q, query_Q)
    log_q_Q = torch.cat((torch.zeros(1), log_q_Q))
    density_Q = (log_q_Q - log_q_Q.max()).exp()
    density_Q /= torch.trapezoid(density_Q, query_Q)
    return query_Q.numpy(), score_Q.numpy(), density_Q.numpy()


def draw_context(axes: Axes, x_D: torch.Tensor, d: int) -> None:
    """Draw the pixels before d, pixel d in its frame, and what is not looked at as crosses."""
    shown = x_D.reshape(SIDE, SIDE).clone().numpy()
    shown.ravel()[d:] = np.nan
    axes.imshow(shown, cmap="gray", vmin=-1.3, vmax=1.3)
    rows, columns = np.divmod(np.arange(d + 1, SIDE**2), SIDE)
    axes.plot(columns, rows, "x", color="#cccccc", markersize=5)
    row, column = divmod(d, SIDE)
    axes.add_patch(Rectangle((column - 0.5, row - 0.5), 1, 1, fill=False, edgecolor=ORANGE, linewidth=3))
    axes.text(column, row, "$x_d$", color=ORANGE, ha="center", va="center", fontsize=12)
    axes.set_title("context: the pixels before, $x_{<d}$", color=BLUE)
    axes.set_xticks([])
    axes.set_yticks([])


def draw(model: ConditionalScore, x_D: torch.Tensor, d: int) -> Figure:
    """Return the picture for one example, shape (D,), and its dimension d."""
    query, score, density = curves(model, x_D, d)
    with matplotlib.rc_context({"font.size": 12, "axes.titlesize": 13}):
        figure = Figure(figsize=(11, 4.2))
        grid = figure.add_gridspec(2, 2, width_ratios=(1, 1.5), left=0.02, right=0.98, top=0.91, bottom=0.13)
        grid.update(hspace=0.6, wspace=0.5)
        left, above, below = (figure.add_subplot(one) for one in (grid[:, 0], grid[0, 1], grid[1, 1]))
        draw_context(left, x_D, d)
        above.plot(query, score, color=ORANGE, linewidth=2.5)
        above.axhline(0, color=GREY, linewidth=1)
        above.set_title(r"conditional score: the slope of $\log\, p(x_d = q \mid x_{<d})$", color=ORANGE)
        below.fill_between(query, density, color=GREEN, alpha=0.35, linewidth=0)
        below.plot(query, density, color=GREEN, linewidth=2)
        below.set_title("its integral: the density, so likelihoods and samples", color=GREEN)
        for axes in (above, below):
            axes.axvline(float(x_D[d]), color=BLUE, linestyle="--", linewidth=1.5)
            axes.set_xlim(query[0], query[-1])
            axes.spines[["top", "right"]].set_visible(False)
        below.set_yticks([])
        below.set_xlabel("query q: any value of $x_d$ (dashed: the one in this image)")
        arrow = FancyArrowPatch(
            (0.365, 0.52), (0.445, 0.52), transform=figure.transFigure, arrowstyle="-|>", mutation_scale=18, linewidth=2
        )
        arrow.set_color(BLUE)
        figure.add_artist(arrow)
        figure.text(0.405, 0.56, "backbone,\nonce", ha="center", color=BLUE)
        figure.text(0.405, 0.38, "head,\nfor every q", ha="center", color=ORANGE)
    return figure


def main(run: str) -> None:
    """Draw a trained model and say where the picture is."""
    model = scorewise.load(run)
    if not isinstance(model, ConditionalScore):
        raise SystemExit(f"{run} is no model of conditional scores: train one by python src/train.py")
    x_1D = Digits().examples("test", torch.tensor([EXAMPLE]), epoch=0, seed=0)
    draw(model, x_1D[0], PIXEL).savefig(FIGURE, dpi=110)
    print(FIGURE)


if __name__ == "__main__":
    main(*sys.argv[1:])
