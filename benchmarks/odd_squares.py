"""How well windows of pixels show where an image was changed: squares planted in test images.

    python benchmarks/odd_squares.py [RUN]

A square, a quarter of a side or 3 pixels, is inverted, made grey, taken from another image, or made noisy (standard
deviation .8) in 200 test images; everything else stays. AUROC of pixels, those of the square positive, image by image,
and the share of images whose oddest window shares at least half of its pixels with the square: of `OddRegions`, and of
the same windows of standard scores, each pixel's distance from its mean over held-out images, which needs no model.
Three seeds of places.
Without a run: the packaged model of digits. Results of another data set are named after it.
"""

import sys
from pathlib import Path
from statistics import mean

import torch
from record import FOLDER, Row, ratio_row, write
from torch import Tensor
from torch.nn import functional
from torchmetrics.functional.classification import binary_auroc

import scorewise
from scorewise import plots
from scorewise.config.choices import build_source
from scorewise.data import Digits
from scorewise.outliers import OddRegions, coloured
from scorewise.stored import read_yaml

COUNT, DRAWN, SEEDS = 200, 16, (0, 1, 2)
KINDS = ("inverted", "grey", "from another image", "noisy")


def planted(x_NCHW: Tensor, kind: str, seed: int) -> tuple[Tensor, Tensor]:
    """Return changed images, and where they were changed."""
    generator, side = torch.Generator().manual_seed(seed), max(3, x_NCHW.shape[-1] // 4)
    found, where = x_NCHW.clone(), torch.zeros_like(x_NCHW[:, 0], dtype=torch.bool)
    for i in range(len(x_NCHW)):
        top, left = torch.randint(0, x_NCHW.shape[-1] - side + 1, (2,), generator=generator).tolist()
        inside = (..., slice(top, top + side), slice(left, left + side))
        square = found[i][inside]
        others = {
            "inverted": -square,
            "grey": torch.zeros_like(square),
            "from another image": x_NCHW[(i + 17) % len(x_NCHW)][inside],
            "noisy": square + 0.8 * torch.randn(square.shape, generator=generator),
        }
        found[i][inside] = others[kind]
        where[i][inside] = True
    return found, where


def without_a_model(x_NCHW: Tensor, ordinary_NCHW: Tensor, window: int) -> OddRegions:
    """Return the same windows of standard scores."""
    mean_CHW, std_CHW = ordinary_NCHW.mean(0), ordinary_NCHW.std(0).clamp(min=0.05)
    far, usual = (
        functional.avg_pool2d(((one - mean_CHW) / std_CHW).double().square().mean(1, keepdim=True), window, stride=1)[
            :, 0
        ]
        for one in (x_NCHW, ordinary_NCHW)
    )
    p = (1 + (usual[None] >= far[:, None]).double().sum(1)) / (len(usual) + 1)
    return OddRegions(x_NCHW, mean_CHW.expand_as(x_NCHW), p, far - usual.mean(0), window, len(usual))


def judged(found: OddRegions, where_NHW: Tensor) -> tuple[float, float]:
    """Return the mean AUROC within images, and the share of images whose oddest window lies half inside."""
    areas, hits = [], []
    for i, where_HW in enumerate(where_NHW):
        areas.append(float(binary_auroc(1 - found.map(i).flatten(), where_HW.flatten().long())))
        one = found.region(i)
        inside = where_HW[one.top : one.top + found.window, one.left : one.left + found.window]
        hits.append(float(inside.double().mean() >= 0.5))
    return mean(areas), mean(hits)


def draw(found: OddRegions, name: str) -> None:
    """Draw what was found, what was expected, and where the two differ as they rarely do."""
    maps = [coloured(found.found_BCHW[i], found.map(i), found.ordinary) for i in range(DRAWN)]
    panels = {"found": found.found_BCHW, "expected": found.expected_BCHW, "where": torch.stack(maps)}
    plots.images(panels, FOLDER.parent / "figures" / f"{name}.png")


def main() -> None:
    """Measure, print, write docs/benchmarks/odd_squares*.json and draw docs/figures/odd_squares*.png."""
    run = sys.argv[1] if len(sys.argv) > 1 else None
    model = scorewise.load(run or "digits")
    source = build_source(read_yaml(Path(run) / "config.yaml")) if run else Digits()
    source.prepare()
    name = "odd_squares" if run is None else f"odd_squares_{source.name}"
    ordinary, x = (
        source.examples(split, torch.arange(most), -1, 0).view(-1, *source.shape)
        for split, most in (("val", min(400, source.count("val"))), ("test", COUNT))
    )
    draw(OddRegions.of(model, planted(x[:DRAWN], KINDS[0], 0)[0], ordinary), name)
    rows: list[Row] = []
    numbers: dict[str, float] = {}
    for kind in KINDS:
        pairs = []
        for seed in SEEDS:
            found, where = planted(x, kind, seed)
            ours = OddRegions.of(model, found, ordinary)
            pairs.append((judged(ours, where), judged(without_a_model(found, ordinary, ours.window), where)))
        numbers |= {
            f"{kind}, {what}": mean(pair[who][number] for pair in pairs)
            for number, measure in enumerate(("AUROC", "hits"))
            for who, what in enumerate((measure, f"{measure} without a model"))
        }
        behind = [theirs[0] - ours[0] for ours, theirs in pairs]
        rows.append(ratio_row(f"{source.name}, {kind}: AUROC of pixels without a model - ours", behind, 0.0))
    print(numbers)
    write(name, rows, torch.device("cpu"), places=numbers)


if __name__ == "__main__":
    main()
