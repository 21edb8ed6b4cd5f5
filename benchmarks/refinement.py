"""What it costs that a quadrature looks whether it resolves the conditionals: a likelihood with and without.

python benchmarks/refinement.py --run runs/csm-made-digits/<hash>   # after: python src/train.py data=digits
"""

import argparse
from statistics import median

import torch
from record import now
from torch import Tensor

import scorewise
from scorewise.heads.numerically_normalised import NumericallyNormalised
from scorewise.likelihood import Quadrature
from scorewise.likelihood.refinement import TOLERANCE


def plain(model: NumericallyNormalised, rule: Quadrature, x_BD: Tensor) -> Tensor:
    """Return log q(x_d | x_<d) by the panels as they are, shape (B, D)."""
    c_RF, x_R = model.context(x_BD).flatten(0, 1), x_BD.flatten()
    chunk = rule.chunk(model, 1)
    rows = zip(c_RF.split(chunk), x_R.split(chunk), strict=True)
    laws = [(rule.conditionals(model, c_rF), x_r) for c_rF, x_r in rows]
    return torch.cat([law.log_density(x_r) + 0 * law.outside() for law, x_r in laws]).reshape(x_BD.shape)


def main() -> None:
    """Time both in turn on draws of a trained model."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", required=True, help="the folder of a run with likelihood=quadrature")
    parser.add_argument("--examples", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=15)
    given = parser.parse_args()
    model = scorewise.load(given.run).eval()
    assert isinstance(model, NumericallyNormalised)
    rule, device = model.normaliser(), torch.device("cpu")
    assert isinstance(rule, Quadrature)
    x_BD = model.sample(given.examples, torch.Generator().manual_seed(0))
    ratios, seconds = [], []
    with torch.no_grad():
        for _ in range(given.rounds):
            first = now(device)
            before_BD = plain(model, rule, x_BD)
            second = now(device)
            after_BD, _ = rule.conditional_log_prob(model, x_BD)
            seconds.append(second - first)
            ratios.append((now(device) - second) / (second - first))
        c_RF, x_R = model.context(x_BD).flatten(0, 1), x_BD.flatten()
        rows = zip(c_RF.split(512), x_R.split(512), strict=True)
        doubts = [rule.conditionals(model, c_rF).doubt(x_r) for c_rF, x_r in rows]
    share = float((torch.cat(doubts) > TOLERANCE).double().mean())
    moved = (after_BD - before_BD).abs()
    print(f"without: {median(seconds):.3f} s; with, relative to it: {median(ratios):.3f} (median of {given.rounds})")
    print(f"conditionals in doubt: {100 * share:.3g} %; moved by more than 1e-6 nats: ", end="")
    print(f"{100 * float((moved > 1e-6).double().mean()):.3g} %, at most {float(moved.max()):.3g} nats")


if __name__ == "__main__":
    main()
